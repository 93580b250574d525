"""postfix - a real Debian Postfix as the receiver of a company: mailboxes, aliases, a policy, an office server behind it.

    outer, 127.66.x.10:2525   the MX of kaisha.example: mailboxes (virtual), aliases, policy map, relays some people inwards
    inner, 127.66.x.11:2525   the office server behind it: knows nobody any more, so the outer one must write error mail

Who is who is in the local part; People lists them and what must come of each."""
import os
import subprocess

from postfix_instance import PostfixInstance
from todoke import PORT

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


LISTENERS = """\
{outer}:{port} inet n - n - - smtpd
{inner}:{port} inet n - n - - smtpd
  -o syslog_name=postfix/inner
  -o virtual_mailbox_maps=texthash:{dir}/nobody
  -o virtual_alias_maps=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject_unauth_destination
"""

MAIN = """\
myhostname = mx.{domain}
mydomain = {domain}
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtp_bind_address = {outer}
lmtp_bind_address = {outer}
notify_classes =

smtpd_tls_security_level = may
smtpd_tls_cert_file = {dir}/tls.crt
smtpd_tls_key_file = {dir}/tls.key
smtp_tls_security_level = may
smtp_tls_loglevel = 1

virtual_mailbox_domains = {domain}, {office}
virtual_alias_maps = texthash:{dir}/aliases
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


class Postfix(PostfixInstance):
    """Configure and start it; stop() by its own command. dead: an address where nobody listens."""

    def __init__(self, folder, outer, inner, dead, return_domain, return_ip):
        super().__init__(folder, [(outer, PORT), (inner, PORT)])
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
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        words = {"dir": folder, "outer": outer, "inner": inner, "port": PORT, "domain": DOMAIN, "office": OFFICE,
                 "full": FULL_BYTES, "largest": FULL_BYTES // 2}
        self.configure(LISTENERS.format(**words), MAIN.format(**words))

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
