"""Our own certificates and who may speak for whom, met by clients that nobody here wrote (Python's ssl, openssl, curl): SNI picks the pair on
every listener; new files are taken while 50 connections are open and drop none; a broken pair changes nothing; one that expires soon is an
alarm, until it is replaced. Slow clients at both doors harm nobody (X12)."""
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import time

from tap import Tap
from todoke import Place, free_port, until


def pair_make(place, stem, name, days=90):
    """A certificate that signs itself, and its key: written beside, then moved into place, as renewing programs do."""
    certificate, key = place.path(f"{stem}.pem"), place.path(f"{stem}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days), "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name}", "-keyout", key + ".new", "-out", certificate + ".new"], check=True, capture_output=True, timeout=60)
    os.chmod(key + ".new", 0o600)
    os.rename(certificate + ".new", certificate)
    os.rename(key + ".new", key)
    return certificate, key


def blind():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def shown(at, name, starttls=None):
    """The certificate (DER) that this listener shows to who asks for `name`."""
    host, port = at.split(":")
    if starttls:
        with smtplib.SMTP(host, int(port), timeout=90) as smtp:
            smtp.ehlo("client.example")
            if smtp.docmd("STARTTLS")[0] != 220:
                raise AssertionError("no STARTTLS")
            with blind().wrap_socket(smtp.sock, server_hostname=name) as secure:
                smtp.sock, smtp.file = None, None
                return secure.getpeercert(True)
    with socket.create_connection((host, int(port)), timeout=90) as clear, blind().wrap_socket(clear, server_hostname=name) as secure:
        return secure.getpeercert(True)


def der(path):
    with open(path, encoding="ascii") as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def ask(secure):
    """A request on a connection that is open; its status line."""
    secure.sendall(b"GET /health/live HTTP/1.1\r\nHost: a.example\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = secure.recv(65536)
        if not more:
            return b"closed"
        answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += secure.recv(65536)
    return head.split(b"\r\n")[0]


def certificates(tap, place):
    one, two = pair_make(place, "one", "a.example"), pair_make(place, "two", "b.example", days=10)
    os.chmod(one[1], 0o644)
    starttls, tls = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    todoke = place.installation(tls__cert=f"{one[0]}, {two[0]}", tls__key=f"{one[1]}, {two[1]}", http__tls="on",
                                submission__listen=starttls, submission__tls_listen=tls)
    todoke.brand()
    server = todoke.serve()
    tap.ok("tls.key " + one[1] in server.said() and "chmod 600" in server.said() and "tls.key " + two[1] not in server.said(), "a key that others may read is warned of")
    mail_in = todoke.settings["mail_in.listen"]
    doors = (("HTTPS", todoke.http, False), ("the return path", mail_in, True), ("submission", starttls, True), ("submission over TLS", tls, False))
    for what, at, begins in doors:
        found = [shown(at, name, begins) for name in ("a.example", "b.example", "c.example", None)]
        tap.equal([(der(one[0]), der(two[0])).index(got) for got in found], [0, 1, 0, 0], f"{what}: the name picks the pair, the first is for everybody else")
    said = subprocess.run(["openssl", "s_client", "-connect", todoke.http, "-servername", "b.example", "-CAfile", two[0], "-verify_return_error", "-tls1_2"],
                          input=b"", capture_output=True, timeout=90, check=False).stdout
    tap.ok(b"Verify return code: 0 (ok)" in said and b"CN = b.example" in said, "openssl s_client agrees", said[-600:].decode())
    said = subprocess.run(["curl", "-sS", "--cacert", one[0], "--resolve", f"a.example:{todoke.http.split(':')[1]}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_code}",
                           f"https://a.example:{todoke.http.split(':')[1]}/health/live"], capture_output=True, text=True, timeout=90, check=False)
    tap.equal(said.stdout, "200", "curl agrees")

    alarms = until(lambda: todoke.rows("alarm", "list"), 20, "the alarm")
    tap.equal([(a["kind"], a["about"], a["n"] in (9, 10)) for a in alarms], [("certificate", "b.example", True)], "a certificate that ends within 21 days is an alarm, the other is none")
    tap.ok("b.example" in alarms[0]["title"]["en"] and "b.example" in alarms[0]["title"]["ja"], "said in both languages", str(alarms))

    host, port = todoke.http.split(":")
    opened = [blind().wrap_socket(socket.create_connection((host, int(port)), timeout=90), server_hostname="b.example") for _ in range(50)]
    mail = smtplib.SMTP(*starttls.split(":"), timeout=90)
    mail.starttls(context=blind())
    old = der(two[0])
    pair_make(place, "two", "b.example")
    begun = []

    def is_new():
        """Each time a request is begun before the look, and left in the middle of its head: a head may take 15 s."""
        begun.append(blind().wrap_socket(socket.create_connection((host, int(port)), timeout=90), server_hostname="b.example"))
        begun[-1].sendall(b"GET /health/live HTTP/1.1\r\nHo")
        return shown(todoke.http, "b.example") == der(two[0])
    until(is_new, 30, "the new certificate at new connections", 0.2)
    begun = begun[-2:][0] # begun before a look that met the old one
    tap.ok(der(two[0]) != old and all(shown(at, "b.example", begins) == der(two[0]) for _, at, begins in doors), "new files are taken by themselves, by every listener")
    begun.sendall(b"st: a.example\r\n\r\n")
    tap.ok(begun.recv(100).startswith(b"HTTP/1.1 200"), "a request that had begun is answered")
    tap.equal([ask(secure) for secure in opened], [b"HTTP/1.1 200 OK"] * 50, "50 open connections: none is dropped, all go on")
    tap.equal((mail.ehlo("client.example")[0], mail.noop()[0]), (250, 250), "nor a mail session")
    until(lambda: todoke.rows("alarm", "list")[0]["ended"], 20, "the alarm's end")
    tap.ok(True, "the alarm has ended")

    since = len(server.said())
    with open(two[0], "wb") as file:
        file.write(b"-----BEGIN CERTIFICATE-----\nbroken\n")
    kept = der(one[0])
    until(lambda: "are kept" in server.said()[since:], 30, "a word about the broken file")
    time.sleep(4.5) # two more looks
    lines = [line for line in server.said()[since:].splitlines() if "are kept" in line]
    tap.ok(len(lines) == 1 and two[0] in lines[0], "a broken file is said once, by its name", str(lines))
    tap.ok(shown(todoke.http, "a.example") == kept and shown(todoke.http, "b.example") != kept, "and the certificates of before are kept")
    pair_make(place, "two", "b.example")
    other = pair_make(place, "other", "b.example")
    since = len(server.said())
    os.rename(other[1], two[1])
    server.popen.send_signal(signal.SIGHUP)
    until(lambda: "are kept" in server.said()[since:], 30, "a word about the wrong key")
    tap.ok("not the key of the certificate" in server.said()[since:], "a key of another certificate too, at SIGHUP", server.said()[since:])
    pair_make(place, "two", "b.example")
    server.popen.send_signal(signal.SIGHUP)
    until(lambda: shown(todoke.http, "b.example") == der(two[0]), 30, "the new certificate after SIGHUP")
    tap.ok(ask(opened[1]) == b"HTTP/1.1 200 OK", "SIGHUP takes the new one, and drops nobody")
    for secure in opened:
        secure.close()
    mail.close()
    tap.equal(todoke.stop(), 0, "the server ends well")
    for wrong, words in ((dict(tls__key=f"{two[1]}, {one[1]}"), ("not the key of the certificate", two[1])), (dict(tls__key=one[1]), ("fewer files",)),
                         (dict(tls__cert=one[0]), ("more files",)), (dict(tls__cert=""), ("tls.cert: is empty",))):
        since = len(server.said())
        server = todoke.spawn(**wrong)
        tap.ok(server.popen.wait(90) == 2 and all(word in server.said()[since:] for word in words), f"it does not start: {words[0]}", server.said()[since:][-500:])
    return todoke


def talk(at, source, first, request=b"", tls=False, slowly=False):
    """What a client at `source` hears: it sends `first` (a PROXY header, or nothing), then the request."""
    host, port = at.split(":")
    with socket.create_connection((host, int(port)), timeout=90, source_address=(source, 0)) as peer:
        try:
            for piece in ([bytes([byte]) for byte in first] if slowly else [first] if first else []):
                peer.sendall(piece)
                time.sleep(0.005 if slowly else 0)
            if tls:
                peer = blind().wrap_socket(peer, server_hostname="a.example")
            peer.sendall(request)
            heard = b""
            while more := peer.recv(65536):
                heard += more
            return heard
        except (ConnectionError, ssl.SSLError):
            return b"closed"


def sign_in(token, headers=b"", origin=b"http://a.example"):
    body = json.dumps({"token": token}).encode()
    return b"POST /api/v1/session HTTP/1.1\r\nHost: a.example\r\nOrigin: %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s" % (origin, len(body), headers, body)


def status(answer):
    return answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else answer[:20]


def version_2(client, port, tls=False):
    extra = b"\x20\x00\x05\x01\0\0\0\0" if tls else b""
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + (12 + len(extra)).to_bytes(2, "big") + socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big") + b"\0\x50" + extra


PROXY, STRANGER = "127.0.0.8", "127.0.0.9"


def proxies(tap, place):
    todoke = place.installation("b", trusted_proxies=PROXY)
    todoke.brand()
    server = todoke.serve()
    secret = todoke.ok("key", "add", "test").strip()
    said = lambda what: what in server.said()
    talk(todoke.http, PROXY, b"", sign_in("wrong", b"X-Forwarded-For: 198.51.100.9, 203.0.113.5\r\n"))
    tap.ok(said("wrong key was shown peer=203.0.113.5"), "a proxy's X-Forwarded-For is the client, in the log", server.said()[-400:])
    talk(todoke.http, STRANGER, b"", sign_in("wrong", b"X-Forwarded-For: 203.0.113.6\r\n"))
    tap.ok(not said("203.0.113.6") and said(f"wrong key was shown peer={STRANGER}"), "a stranger's is ignored")
    for what, headers, word in (("two names for himself", b"X-Forwarded-For: 203.0.113.%d\r\n", "429"),):
        last = [status(talk(todoke.http, STRANGER, b"", sign_in("wrong", headers % n))) for n in range(40)][-1]
        tap.equal(last.decode(), word, f"{what}: the limit of wrong keys still counts the stranger")
    tap.equal(status(talk(todoke.http, PROXY, b"", sign_in(secret, b"X-Forwarded-For: 203.0.113.7\r\n"))), b"204", "and nobody else behind the proxy")
    answer = talk(todoke.http, PROXY, b"", sign_in(secret, b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n", b"https://a.example"))
    tap.ok(status(answer) == b"204" and b"; Secure" in answer and b"Strict-Transport-Security: max-age" in answer, "X-Forwarded-Proto of the proxy: a Secure cookie, and HSTS", str(answer))
    answer = talk(todoke.http, "127.0.0.10", b"", sign_in(secret, b"X-Forwarded-Proto: https\r\n"))
    tap.ok(status(answer) == b"204" and b"; Secure" not in answer and b"Strict-Transport" not in answer, "of a stranger: neither", str(answer))
    tap.equal(status(talk(todoke.http, PROXY, b"PROXY TCP4 203.0.113.8 127.0.0.1 1 80\r\n", sign_in("wrong"))), b"400", "PROXY headers are not guessed")
    todoke.stop()

    certificate, key = pair_make(place, "proxied", "a.example")
    for tls in (False, True):
        way = "HTTPS" if tls else "HTTP"
        server = todoke.serve(http__proxy_protocol="on", tls__cert=certificate, tls__key=key, http__tls="on" if tls else "off")
        origin = b"https://a.example" if tls else b"http://a.example"
        wrong = sign_in("wrong", b"", origin)
        answer = talk(todoke.http, PROXY, b"PROXY TCP4 203.0.113.21 127.0.0.1 4321 80\r\n", wrong, tls)
        tap.ok(status(answer) == b"401" and said("wrong key was shown peer=203.0.113.21:4321"), f"{way}: PROXY version 1 names the client", str(answer))
        answer = talk(todoke.http, PROXY, version_2("203.0.113.22", 4322), wrong, tls, slowly=True)
        tap.ok(status(answer) == b"401" and said("wrong key was shown peer=203.0.113.22:4322"), f"{way}: version 2 too, byte by byte", str(answer))
        tap.ok(talk(todoke.http, PROXY, b"", wrong, tls) in (b"", b"closed"), f"{way}: from the proxy without a header: closed")
        tap.equal(status(talk(todoke.http, STRANGER, b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", tls)), b"200", f"{way}: others speak without one")
        answer = talk(todoke.http, STRANGER, b"PROXY TCP4 203.0.113.23 127.0.0.1 1 80\r\n", wrong, tls)
        tap.ok(status(answer) in (b"400", b"closed", b"") and not said("203.0.113.23"), f"{way}: a header from others is not believed", str(answer))
        url = f"{'https' if tls else 'http'}://{todoke.http}/health/live"
        curl = subprocess.run(["curl", "-ksS", "--interface", PROXY, "--haproxy-protocol", "-o", "/dev/null", "-w", "%{http_code}", url], capture_output=True, text=True, timeout=90, check=False)
        tap.equal(curl.stdout, "200", f"{way}: curl --haproxy-protocol is understood")
        if not tls:
            answer = talk(todoke.http, PROXY, version_2("203.0.113.24", 1, tls=True), sign_in(secret, b"", b"https://a.example"))
            tap.ok(b"; Secure" in answer, "version 2 says that the client came by TLS", str(answer))
        tap.equal(todoke.stop(), 0, f"{way}: the server ends well")
    for wrong, word in ((dict(http__listen=f"0.0.0.0:{free_port()}", trusted_proxies=""), "http.tls: on"), (dict(trusted_proxies="somewhere"), "trusted_proxies: \"somewhere\""),
                        (dict(trusted_proxies="", http__proxy_protocol="on"), "http.proxy_protocol")):
        since = len(server.said())
        server = todoke.spawn(**wrong)
        tap.ok(server.popen.wait(90) == 2 and word in server.said()[since:], f"it does not start, and says {word}", server.said()[since:][-500:])
    server = todoke.serve(http__listen=f"0.0.0.0:{todoke.http.split(':')[1]}")
    tap.equal(status(talk(todoke.http, PROXY, b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")), b"200", "behind a proxy that is named it listens everywhere")
    todoke.stop()


def slow(tap, place):
    """X12: heads and commands that come drop by drop hold nobody else up."""
    starttls = f"127.0.0.1:{free_port()}"
    todoke = place.installation("c", submission__listen=starttls)
    todoke.brand()
    todoke.serve()
    peers = []
    for n in range(200):
        for at, begin in ((todoke.http, b"GET / HTTP/1.1\r\nHost: "), (todoke.settings["mail_in.listen"], b"EHLO "), (starttls, b"EHLO ")):
            host, port = at.split(":")
            peers.append(socket.create_connection((host, int(port)), timeout=90, source_address=(f"127.1.{n % 50}.7", 0)))
            peers[-1].sendall(begin)
    times = []
    for _ in range(10):
        for peer in peers:
            try:
                peer.sendall(b"x")
            except OSError:
                pass # it was closed: fine
        began = time.monotonic()
        answered = status(talk(todoke.http, STRANGER, b"", b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")) == b"200"
        for at in (todoke.settings["mail_in.listen"], starttls):
            with smtplib.SMTP(*at.split(":"), timeout=90) as smtp:
                answered = answered and smtp.ehlo("client.example")[0] == 250
        times.append(time.monotonic() - began if answered else 99)
    tap.ok(max(times) < 60, f"{len(peers)} slow clients at the doors: others are served", f"{max(times):.2f} s")
    print(f"# slowest of 10 rounds at three doors: {max(times):.3f} s")
    for peer in peers:
        peer.close()
    tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap, Place("listeners") as place:
    certificates(tap, place)
    proxies(tap, place)
    slow(tap, place)
