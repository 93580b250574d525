"""postfix - a real Debian Postfix of our own: configuration, queue and data in a directory, loopback addresses only.

Never the system's instance: its own config directory (`postfix -c`), own master.cf, no port below 1024, started by root
(Postfix wants that; its processes drop to `postfix` and `nobody` themselves) and stopped by `postfix -c DIR stop`.

    outer, 127.66.x.10:2525   the MX of kaisha.example: mailboxes (virtual), aliases, policy map, relays some people inwards
    inner, 127.66.x.11:2525   the office server behind it: knows nobody any more, so the outer one must write error mail

Who is who is in the local part; People lists them and what must come of each."""
import os
import pwd
import shutil
import subprocess

from todoke import PORT, answers, until

DOMAIN, OFFICE = "kaisha.example", "honsha.kaisha.example"
FULL_BYTES = 40000


class People:
    """The hundred recipients. Kinds: what the Postfix does with them."""
    GOOD = [f"good{n}@{DOMAIN}" for n in range(73)]
    UNKNOWN = [f"unknown{n}@{DOMAIN}" for n in range(10)]           # 550 5.1.1 in the conversation
    GONE = [f"gone{n}@{DOMAIN}" for n in range(5)]                  # taken; the office server refuses the same address
    MOVED = [f"alias{n}@{DOMAIN}" for n in range(5)]                # taken; an alias to an office address that is refused
    QUOTA = [f"quota{n}@{DOMAIN}" for n in range(2)]                # 552 5.2.2 in the conversation
    FULL = [f"full{n}@{DOMAIN}" for n in range(1)]                  # taken; the mailbox file is at its limit
    POLICY = [f"policy{n}@{DOMAIN}" for n in range(2)]              # 550 5.7.1 in the conversation
    UNREACHED = [f"unreached{n}@{DOMAIN}" for n in range(2)]        # taken; the next hop is dead: delayed notice, then given up
    LATE_UNKNOWN = GONE + MOVED
    ALL_UNKNOWN = UNKNOWN + LATE_UNKNOWN
    ALL = GOOD + ALL_UNKNOWN + QUOTA + FULL + POLICY + UNREACHED


MASTER = """\
{outer}:{port} inet n - n - - smtpd
{inner}:{port} inet n - n - - smtpd
  -o syslog_name=postfix/inner
  -o virtual_mailbox_maps=texthash:{dir}/nobody
  -o virtual_alias_maps=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject_unauth_destination
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 2 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log/maillog
maillog_file_prefixes = {dir}/log
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydomain = {domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_bind_address = {outer}
lmtp_bind_address = {outer}
notify_classes =
smtpd_peername_lookup = no

smtpd_tls_security_level = may
smtpd_tls_cert_file = {dir}/tls.crt
smtpd_tls_key_file = {dir}/tls.key
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtp_tls_security_level = may
smtp_tls_loglevel = 1

virtual_mailbox_domains = {domain}, {office}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_alias_maps = texthash:{dir}/aliases
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
virtual_mailbox_limit = {full}
message_size_limit = {largest}
mailbox_size_limit = 0
transport_maps = texthash:{dir}/transport
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access texthash:{dir}/access
smtpd_reject_unlisted_recipient = yes

queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 3s
delay_warning_time = 1s
maximal_queue_lifetime = 12s
bounce_queue_lifetime = 1h
smtp_connect_timeout = 3s
default_destination_concurrency_failed_cohort_limit = 0
"""


class Postfix:
    """Configure and start it; stop() by its own command. dead: an address where nobody listens."""

    def __init__(self, folder, outer, inner, dead, return_domain, return_ip):
        self.dir, self.outer, self.inner = folder, outer, inner
        nobody = pwd.getpwnam("nobody")
        os.makedirs(folder)
        for name in ("queue", "data", "log", "mail"):
            os.mkdir(os.path.join(folder, name))
        os.chmod(folder, 0o755)
        shutil.chown(os.path.join(folder, "data"), "postfix")
        os.chown(os.path.join(folder, "mail"), nobody.pw_uid, nobody.pw_gid)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=mx.{DOMAIN}",
                        "-keyout", self.path("tls.key"), "-out", self.path("tls.crt")], check=True, capture_output=True)
        self.write("mailboxes", "".join(f"{who} {who.split('@')[0]}/\n" for who in People.GOOD)
                   + "".join(f"{who} {who.split('@')[0]}\n" for who in People.FULL)
                   + "".join(f"{who} nowhere/\n" for who in People.GONE + People.QUOTA + People.POLICY + People.UNREACHED)
                   + f"@{OFFICE} nowhere/\n")
        self.write("nobody", "")
        self.write("aliases", "".join(f"{who} {who.split('@')[0]}.ex@{OFFICE}\n" for who in People.MOVED))
        self.write("transport", f"{return_domain} smtp:[{return_ip}]:{PORT}\n{OFFICE} smtp:[{inner}]:{PORT}\n"
                   + "".join(f"{who} smtp:[{inner}]:{PORT}\n" for who in People.GONE)
                   + "".join(f"{who} smtp:[{dead}]:{PORT}\n" for who in People.UNREACHED))
        self.write("access", "".join(f"{who} 552 5.2.2 Mailbox full: over quota\n" for who in People.QUOTA)
                   + "".join(f"{who} 550 5.7.1 Message rejected by policy: no mail from outside\n" for who in People.POLICY))
        for who in People.FULL: # a mailbox file with no room for another mail
            path = os.path.join(folder, "mail", who.split("@")[0])
            with open(path, "w", encoding="ascii") as file:
                file.write("From somebody@else.example Mon Jan  5 00:00:00 2026\nSubject: old\n\n" + "x" * 60 + "\n")
                file.write("y" * (FULL_BYTES - file.tell() - 200) + "\n")
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        words = {"dir": folder, "outer": outer, "inner": inner, "port": PORT, "domain": DOMAIN, "office": OFFICE,
                 "uid": nobody.pw_uid, "gid": nobody.pw_gid, "full": FULL_BYTES, "largest": FULL_BYTES // 2}
        self.write("main.cf", MAIN.format(**words))
        self.write("master.cf", MASTER.format(**words))
        self.started = False

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self, *arguments, seconds=60):
        """Its status, and what it says: to a terminal only, so it gets one."""
        ours, its = os.openpty()
        status = subprocess.run(["postfix", "-c", self.dir, *arguments], stdin=subprocess.DEVNULL, stdout=its, stderr=its,
                                timeout=seconds, check=False).returncode
        os.close(its)
        os.set_blocking(ours, False)
        try:
            said = os.read(ours, 65536).decode("utf-8", "replace")
        except OSError:
            said = ""
        os.close(ours)
        return status, said

    def start(self):
        status, said = self.command("start")
        if status != 0:
            raise AssertionError(f"postfix start: {said}\n{self.log()}")
        self.started = True
        until(lambda: answers(self.outer, PORT) and answers(self.inner, PORT), 30, "Postfix listens")

    def stop(self):
        if self.started:
            self.started = False
            self.command("stop")

    def log(self):
        try:
            with open(self.path("log", "maillog"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def mails(self):
        """What lies in the mailboxes: owner -> list of mails (bytes)."""
        found = {}
        for who in People.GOOD:
            new = self.path("mail", who.split("@")[0], "new")
            if os.path.isdir(new):
                for name in os.listdir(new):
                    with open(os.path.join(new, name), "rb") as file:
                        found.setdefault(who, []).append(file.read())
        return found
