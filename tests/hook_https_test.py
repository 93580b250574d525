"""Webhooks as they go out in earnest (X8): network.mode public, HTTPS with a CA of one's own, certificates and names checked, private addresses only where hooks.permitted
names them, and the address that was looked up is the one that is connected to."""
import http.server
import json
import ssl
import subprocess
import threading

from hook_verify import verify
from tap import Tap
from todoke import NET, Place, free_port

HOST, OTHER = f"{NET}.62", f"{NET}.63"


def authority(place, name):
    """A CA: paths of its certificate and key."""
    certificate, key = place.path(f"{name}.pem"), place.path(f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return certificate, key


def issue(place, ca, name):
    """A certificate of this CA for the name, with its key: one file."""
    request, key, certificate = place.path(f"{name}.csr"), place.path(f"{name}.key"), place.path(f"{name}.crt")
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request],
                   check=True, capture_output=True, timeout=60)
    names = place.write(f"{name}.ext", f"subjectAltName=DNS:{name}\n")
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-CAcreateserial", "-days", "2", "-extfile", names, "-out", certificate],
                   check=True, capture_output=True, timeout=60)
    with open(certificate, encoding="ascii") as one, open(key, encoding="ascii") as two:
        return place.write(f"{name}.both", one.read() + two.read())


class Hooked:
    """An HTTP(S) receiver; which names it was asked for, how often it was connected to."""

    def __init__(self, ip, certificate=None):
        self.got, self.names, self.connections = [], [], 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, peer = super().get_request()
                outer.connections += 1
                return connection, peer

            def finish_request(self, request, client_address):
                try:
                    if certificate:
                        request.settimeout(90)
                        request = outer.context.wrap_socket(request, server_side=True)
                    super().finish_request(request, client_address)
                except OSError:
                    pass

        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
            self.context.sni_callback = lambda _socket, name, _context: outer.names.append(name)
        self.server = Server((ip, free_port(ip)), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def main():
    with Tap() as tap, Place("hook-https") as place:
        ours, strangers = authority(place, "ours"), authority(place, "strangers")
        good = Hooked(HOST, issue(place, ours, "app.example"))
        forged = Hooked(HOST, issue(place, strangers, "forged.example"))
        clear, elsewhere = Hooked(HOST), Hooked(OTHER)
        zone = {name: {"A": [HOST]} for name in ("app.example", "forged.example", "other.example")}
        zone["elsewhere.example"] = {"A": [OTHER]}
        todoke = place.installation(zone=zone, network__mode="public", hooks__permitted=f"{HOST}/32", tls__ca_file=ours[0], mail_in__listen=f"{NET}.2:2525", test__time_percent=100)
        todoke.brand()
        todoke.serve()

        def hook(url):
            made = json.loads(todoke.ok("hook", "add", url, "--json"))
            done = todoke.run("hook", "test", made["id"], seconds=60)
            todoke.ok("hook", "remove", made["id"])
            return made["secret"], done.returncode, done.stdout + done.stderr

        secret, status, said = hook(f"https://app.example:{good.port}/in")
        tap.ok(status == 0 and len(good.got) == 1 and good.names == ["app.example"], "HTTPS, by a CA of one's own, to the name that was meant", said)
        headers, body = good.got[0]
        tap.ok(verify(secret, headers, body) and headers["host"] == f"app.example:{good.port}", "signed as ever", str(headers))

        _, status, said = hook(f"https://forged.example:{forged.port}/")
        tap.ok(status == 3 and not forged.got, "a certificate of another CA is none", said)
        _, status, said = hook(f"https://other.example:{good.port}/")
        tap.ok(status == 3 and len(good.got) == 1, "nor is one for another name", said)
        _, status, said = hook(f"https://{HOST}:{good.port}/")
        tap.ok(status == 3 and len(good.got) == 1, "nor for a bare address", said)

        _, status, said = hook(f"http://app.example:{clear.port}/")
        tap.ok(status == 0 and len(clear.got) == 1, "in clear only within what hooks.permitted names", said)
        before = elsewhere.connections
        for url in (f"http://elsewhere.example:{elsewhere.port}/", f"https://elsewhere.example:{elsewhere.port}/", f"https://{OTHER}:{elsewhere.port}/", f"http://127.0.0.1:{elsewhere.port}/",
                    f"https://[::1]:{elsewhere.port}/", f"https://[::ffff:{OTHER}]:{elsewhere.port}/", "https://169.254.169.254/", "https://10.1.2.3/", "https://[64:ff9b::a01:203]/"):
            _, status, said = hook(url)
            tap.ok(status == 3 and "connect to server" not in said, f"{url.rsplit(':', 1)[0]} is refused in public mode", said)
        tap.equal(elsewhere.connections - before, 0, "before anything was connected to")

        # the name leads elsewhere now: each address is asked about before it is connected to
        todoke.zone({**zone, "app.example": {"A": [OTHER]}})
        todoke.stop()
        todoke.serve()
        _, status, said = hook(f"https://app.example:{good.port}/in")
        tap.ok(status == 3 and elsewhere.connections == before, "a name that leads elsewhere now is refused", said)
        todoke.stop()
        todoke.serve(hooks__permitted="")
        todoke.zone(zone)
        count = good.connections
        _, status, said = hook(f"https://app.example:{good.port}/in")
        tap.ok(status == 3 and good.connections == count, "without hooks.permitted nothing private is reached", said)
        tap.equal(todoke.stop(), 0, "the server ends well")


if __name__ == "__main__":
    main()
