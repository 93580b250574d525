"""postfix_instance - what every Postfix of a test has in common: a directory with its own configuration, queue, data and log.

Never the system's instance: its own config directory (`postfix -c`), own master.cf, no port below 1024, started by root
(Postfix wants that; its processes drop to `postfix` and `nobody` themselves) and stopped by `postfix -c DIR stop`."""
import os
import pwd
import shutil
import subprocess

from todoke import answers, until

# master.cf after the listeners
SERVICES = """\
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

# main.cf before what the test wants: {dir}, {uid} and {gid} of the mailboxes' owner
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
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
"""


class PostfixInstance:
    """at: the (ip, port) that answer when it has started. The caller writes `mailboxes` if there are any, calls configure(), then start()."""

    def __init__(self, folder, at):
        self.dir, self.at, self.started = folder, at, False
        self.owner = pwd.getpwnam("nobody")
        os.makedirs(folder)
        for name in ("queue", "data", "log", "mail"):
            os.mkdir(self.path(name))
        os.chmod(folder, 0o755)
        shutil.chown(self.path("data"), "postfix")
        os.chown(self.path("mail"), self.owner.pw_uid, self.owner.pw_gid)
        self.write("mailboxes", "")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def configure(self, listeners, main):
        """master.cf's own lines, and main.cf's."""
        self.write("master.cf", listeners + SERVICES)
        self.write("main.cf", MAIN.format(dir=self.dir, uid=self.owner.pw_uid, gid=self.owner.pw_gid) + main)

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
        for ip, port in self.at:
            until(lambda: answers(ip, port), 30, f"Postfix at {ip}:{port}") # pylint: disable=cell-var-from-loop

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
