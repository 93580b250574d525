"""mailfarm - what TLS policies are shown against: our own certificate authority, a real Postfix with good and bad certificates, a
signed DNS zone on a real name server, and MTA-STS policies on a real HTTPS server. All on loopback, in a directory of the test's.

    authority = Authority(dir)                  openssl: an issuer, and certificates by it (or by nobody, or of the past)
    postfix = Receivers(dir, {...})             one Postfix, one address for each certificate
    dns = Zones(dir, ip)                        ldns-keygen, ldns-signzone, nsd
    web = Policies(ip, chain, key, {...})       https://mta-sts.<domain>/.well-known/mta-sts.txt"""
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import threading

from postfix_instance import PostfixInstance
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
        """(chain, key) for these hosts; with none, `name` stands in the subject alone."""
        key, request, certificate, chain = (self.path(f"{name}.{end}") for end in ("key", "csr", "crt", "pem"))
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
        names = ",".join(f"DNS:{host}" for host in hosts)
        extension = f"subjectAltName={names}" if hosts else "keyUsage=digitalSignature" # without: as certificates once were
        with open(self.path(f"{name}.cnf"), "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=us\n[us]\ndatabase={self.path(name)}.index\nserial={self.path(name)}.serial\n"
                       f"new_certs_dir={self.dir}\ndefault_md=sha256\npolicy=any\nunique_subject=no\nemail_in_dn=no\n"
                       f"[any]\ncommonName=supplied\n[host]\n{extension}\n")
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
MAIN = """\
myhostname = mx.plain.lab
mynetworks =
disable_dns_lookups = yes
smtpd_client_connection_count_limit = 0
virtual_mailbox_domains = {domains}
smtpd_relay_restrictions = reject_unauth_destination
"""


class Receivers(PostfixInstance):
    """services: name -> (ip, chain, key), chain None: no TLS; (ip, chain, key, port): TLS from the first byte."""

    def __init__(self, folder, services, people):
        listeners, at = "", []
        for name, service in services.items():
            ip, chain, key = service[:3]
            port = service[3] if len(service) > 3 else PORT
            at.append((ip, port))
            listeners += SERVICE.format(ip=ip, port=port, name=name, chain=chain or "", key=key or "", level="may" if chain else "none",
                                        wrapped="yes" if port == 465 else "no")
        super().__init__(folder, at)
        self.write("mailboxes", "".join(f"{who} {who.split('@')[1]}/\n" for who in people))
        self.configure(listeners, MAIN.format(domains=" ".join(sorted({who.split("@")[1] for who in people}))))

    def mail(self, domain):
        """The one mail in the mailbox of this domain; None."""
        new = self.path("mail", domain, "new")
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
