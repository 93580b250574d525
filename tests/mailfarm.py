"""mailfarm - what TLS policies are shown against: our own certificate authority, a real Postfix with good and bad certificates, a
signed DNS zone on a real name server, and MTA-STS policies on a real HTTPS server. All on loopback, in a directory of the test's.

    authority = Authority(dir)                  openssl: an issuer, and certificates by it (or by nobody, or of the past)
    postfix = Receivers(dir, {...})             one Postfix, one address for each certificate
    dns = Zones(dir, ip)                        ldns-keygen, ldns-signzone, nsd
    web = Policies(ip, chain, key, {...})       https://mta-sts.<domain>/.well-known/mta-sts.txt"""
import hashlib
import http.server
import os
import pwd
import shutil
import ssl
import subprocess
import threading

from todoke import PORT, answers, until

TOOLS = ["postfix", "nsd", "ldns-keygen", "ldns-signzone", "openssl"]
DNS_PORT = 5353


def missing():
    """What is not installed of what this needs."""
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    return [tool for tool in TOOLS if not shutil.which(tool, path=path)]


def run(*command, **kinds):
    done = subprocess.run(command, capture_output=True, check=False, **kinds)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Authority:
    def __init__(self, folder):
        self.dir = folder
        os.makedirs(folder)
        self.root = self.path("root.crt")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
            "/CN=Our Authority", "-keyout", self.path("root.key"), "-out", self.root, "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name):
        return os.path.join(self.dir, name)

    def issue(self, name, hosts, expired=False):
        """(chain, key) for these hosts."""
        key, request, certificate, chain = (self.path(f"{name}.{end}") for end in ("key", "csr", "crt", "pem"))
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
        names = ",".join(f"DNS:{host}" for host in hosts)
        with open(self.path(f"{name}.cnf"), "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=us\n[us]\ndatabase={self.path(name)}.index\nserial={self.path(name)}.serial\n"
                       f"new_certs_dir={self.dir}\ndefault_md=sha256\npolicy=any\nunique_subject=no\nemail_in_dn=no\n"
                       f"[any]\ncommonName=supplied\n[host]\nsubjectAltName={names}\n")
        open(f"{self.path(name)}.index", "w", encoding="ascii").close()
        with open(f"{self.path(name)}.serial", "w", encoding="ascii") as file:
            file.write(os.urandom(8).hex().upper().replace("0", "1", 1) + "\n")
        when = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"] if expired else ["-days", "20"]
        run("openssl", "ca", "-batch", "-notext", "-config", self.path(f"{name}.cnf"), "-extensions", "host", "-cert", self.root,
            "-keyfile", self.path("root.key"), "-in", request, "-out", certificate, *when)
        with open(chain, "wb") as file:
            for part in (certificate, self.root):
                with open(part, "rb") as pem:
                    file.write(pem.read())
        return chain, key

    def nobody(self, name, host):
        """A certificate that signs itself."""
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", f"/CN={host}", "-keyout",
            self.path(f"{name}.key"), "-out", self.path(f"{name}.pem"))
        return self.path(f"{name}.pem"), self.path(f"{name}.key")


def tlsa_key(chain):
    """The data of TLSA x 1 1: SHA-256 of the first certificate's public key."""
    pem = run("openssl", "x509", "-in", chain, "-noout", "-pubkey")
    return hashlib.sha256(run("openssl", "pkey", "-pubin", "-outform", "der", input=pem)).hexdigest()


def tlsa_certificate(chain):
    """The data of TLSA x 0 1: SHA-256 of the first certificate."""
    return hashlib.sha256(run("openssl", "x509", "-in", chain, "-outform", "der")).hexdigest()


SERVICE = """\
{ip}:{port} inet n - n - - smtpd
  -o syslog_name=postfix/{name}
  -o smtpd_tls_security_level={level}
  -o smtpd_tls_cert_file={chain}
  -o smtpd_tls_key_file={key}
  -o smtpd_tls_wrappermode={wrapped}
"""
MASTER = """\
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
myhostname = mx.plain.lab
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_client_connection_count_limit = 0
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 100
smtpd_relay_restrictions = reject_unauth_destination
"""


class Receivers:
    """services: name -> (ip, chain, key), chain None: no TLS; (ip, chain, key, port): TLS from the first byte."""

    def __init__(self, folder, services, people):
        self.dir, self.started = folder, False
        nobody = pwd.getpwnam("nobody")
        os.makedirs(folder)
        for name in ("queue", "data", "log", "mail"):
            os.mkdir(os.path.join(folder, name))
        os.chmod(folder, 0o755)
        shutil.chown(os.path.join(folder, "data"), "postfix")
        os.chown(os.path.join(folder, "mail"), nobody.pw_uid, nobody.pw_gid)
        master = ""
        self.at = []
        for name, service in services.items():
            ip, chain, key = service[:3]
            port = service[3] if len(service) > 3 else PORT
            self.at.append((ip, port))
            master += SERVICE.format(ip=ip, port=port, name=name, chain=chain or "", key=key or "", level="may" if chain else "none",
                                     wrapped="yes" if port == 465 else "no")
        self.write("master.cf", master + MASTER)
        self.write("mailboxes", "".join(f"{who} {who.split('@')[1]}/\n" for who in people))
        domains = " ".join(sorted({who.split("@")[1] for who in people}))
        self.write("main.cf", MAIN.format(dir=folder, domains=domains, uid=nobody.pw_uid, gid=nobody.pw_gid))

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as file:
            file.write(text)

    def command(self, word):
        ours, its = os.openpty() # it says what is wrong to a terminal only
        status = subprocess.run(["postfix", "-c", self.dir, word], stdin=subprocess.DEVNULL, stdout=its, stderr=its, timeout=60,
                                check=False).returncode
        os.close(its)
        os.close(ours)
        return status

    def start(self):
        if self.command("start") != 0:
            raise AssertionError(f"postfix does not start\n{self.log()}")
        self.started = True
        for ip, port in self.at:
            until(lambda: answers(ip, port), 30, f"Postfix at {ip}:{port}") # pylint: disable=cell-var-from-loop

    def stop(self):
        if self.started:
            self.started = False
            self.command("stop")

    def log(self):
        try:
            with open(os.path.join(self.dir, "log", "maillog"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def mail(self, domain):
        """The one mail in the mailbox of this domain; None."""
        new = os.path.join(self.dir, "mail", domain, "new")
        for name in os.listdir(new) if os.path.isdir(new) else []:
            with open(os.path.join(new, name), "rb") as file:
                return file.read()
        return None


class Zones:
    """zones: name -> (records, "plain" | "signed" | "forged": signed by a key that is not the anchor's).
    tampered: names whose TLSA record is changed after signing."""

    def __init__(self, place, folder, ip, zones, tampered=()):
        self.ip, self.place, self.dir = ip, place, folder
        os.makedirs(folder)
        config = (f"server:\n  ip-address: {ip}@{DNS_PORT}\n  username: \"\"\n  zonesdir: {folder}\n  pidfile: {folder}/nsd.pid\n"
                  f"  database: \"\"\n  xfrdfile: {folder}/xfrd.state\n  xfrdir: {folder}\n  zonelistfile: {folder}/zone.list\n"
                  "  server-count: 1\nremote-control:\n  control-enable: no\n")
        anchors = ""
        for name, (records, kind) in zones.items():
            file = os.path.join(folder, name)
            with open(file, "w", encoding="ascii") as out:
                out.write(f"$ORIGIN {name}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {ip}\n{records}")
            if kind != "plain":
                anchors += self.sign(name, file, kind == "forged")
                file += ".signed"
                for host in tampered:
                    self.tamper(file, host)
            config += f"zone:\n  name: {name}\n  zonefile: {file}\n"
        self.anchors = os.path.join(folder, "anchors")
        for path, text in ((self.anchors, anchors), (os.path.join(folder, "nsd.conf"), config)):
            with open(path, "w", encoding="ascii") as out:
                out.write(text)
        self.stub = ",".join(f"{name}={ip}@{DNS_PORT}" for name in zones)

    def key(self, name):
        key = run("ldns-keygen", "-k", "-a", "ECDSAP256SHA256", name, cwd=self.dir).decode().strip()
        with open(os.path.join(self.dir, key + ".key"), encoding="ascii") as file:
            return key, file.read()

    def sign(self, name, file, forged):
        key, anchor = self.key(name)
        run("ldns-signzone", file, key, cwd=self.dir)
        return self.key(name)[1] if forged else anchor

    @staticmethod
    def tamper(file, host):
        with open(file, encoding="ascii") as signed:
            lines = signed.readlines()
        for n, line in enumerate(lines):
            if line.startswith(f"_25._tcp.{host}.") and "\tTLSA\t" in line:
                lines[n] = line.rstrip()[:-4] + ("0000" if not line.rstrip().endswith("0000") else "1111") + "\n"
        with open(file, "w", encoding="ascii") as signed:
            signed.writelines(lines)

    def start(self):
        process = self.place.start(["/usr/sbin/nsd", "-d", "-c", os.path.join(self.dir, "nsd.conf")], "nsd.log")
        until(lambda: answers(self.ip, DNS_PORT) or not process.runs(), 20, "nsd answers")
        if not process.runs():
            raise AssertionError(process.said())
        return process


class Policies:
    """pages: host -> (status, content type, text). Counts what is asked."""

    def __init__(self, ip, chain, key, pages):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self): # pylint: disable=invalid-name
                host = self.headers.get("Host", "")
                asked.append(host)
                status, kind, text = pages.get(host, (404, "text/plain", "")) if self.path == "/.well-known/mta-sts.txt" else (404, "text/plain", "")
                self.send_response(status)
                if status == 301:
                    self.send_header("Location", "https://mta-sts.s-good.plain.lab/.well-known/mta-sts.txt")
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_): # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer((ip, 443), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
