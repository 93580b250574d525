"""A real Dovecot of our own, never the packaged service: IMAP and POP3 on loopback, TLS by a certificate of its own, Maildirs in the
test's directory. Needs root (Dovecot changes users)."""
import os
import pwd
import shutil
import subprocess

from todoke import answers, until

CONF = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols = imap pop3
listen = {ip}
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:{dir}/mail/%n
maildir_very_dirty_syncs = no
passdb {{
  driver = static
  args = password=secret%%word
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = 2143
  }}
  inet_listener imaps {{
    port = 2993
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = 2110
  }}
  inet_listener pop3s {{
    port = 2995
  }}
}}
"""
PASSWORD = "secret%word"


def is_there():
    return os.geteuid() == 0 and shutil.which("dovecot") is not None


class Dovecot:
    def __init__(self, place, ip, host):
        self.ip, self.host, self.dir, self.delivered = ip, host, place.path("dovecot"), 0
        os.chmod(place.dir, 0o755)
        who = pwd.getpwnam("mail")
        self.uid, self.gid = who.pw_uid, who.pw_gid
        for name in ("run", "state", "mail"):
            os.makedirs(os.path.join(self.dir, name))
        os.chown(os.path.join(self.dir, "mail"), self.uid, self.gid)
        self.ca = os.path.join(self.dir, "cert.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}", "-addext",
                        f"subjectAltName=DNS:{host},IP:{ip}", "-keyout", os.path.join(self.dir, "key.pem"), "-out", self.ca], check=True, capture_output=True)
        conf = place.write("dovecot/dovecot.conf", CONF.format(dir=self.dir, ip=ip, uid=self.uid, gid=self.gid))
        self.process = place.start([shutil.which("dovecot"), "-F", "-c", conf], "dovecot.out")
        for port in (2143, 2993, 2110, 2995):
            until(lambda port=port: answers(ip, port), 30, f"Dovecot at port {port}")

    def put(self, user, mails):
        """Deliver into a Maildir, as any delivering program does: tmp/, then new/."""
        top = os.path.join(self.dir, "mail", user)
        for name in ("", "cur", "new", "tmp"):
            path = os.path.join(top, name)
            if not os.path.isdir(path):
                os.makedirs(path)
                os.chown(path, self.uid, self.gid)
        for mail in mails:
            self.delivered += 1
            name = f"{self.delivered:06}.M{os.getpid()}.host"
            with open(os.path.join(top, "tmp", name), "wb") as file:
                file.write(mail)
            os.chown(os.path.join(top, "tmp", name), self.uid, self.gid)
            os.rename(os.path.join(top, "tmp", name), os.path.join(top, "new", name))

    def count_anew(self, user):
        """As after a restore, or a folder made again: its UIDs and its UIDVALIDITY are gone."""
        top = os.path.join(self.dir, "mail", user)
        for name in os.listdir(top):
            if name.startswith("dovecot"):
                os.unlink(os.path.join(top, name))

    def holds(self, user):
        return sum(len(os.listdir(os.path.join(self.dir, "mail", user, name))) for name in ("new", "cur"))
