"""Console and API over HTTPS: with a certificate that was given, TLS 1.2 and newer, a cookie that stays on HTTPS, clear text refused; and
what is said when the certificate is not there."""
import http.client
import json
import socket
import ssl
import warnings

from tap import Tap
from todoke import Place, certificate_make

with Tap() as tap, Place("https") as place:
    certificate, key = certificate_make(place)
    todoke = place.installation(tls__cert=certificate, tls__key=key, http__tls="on")
    todoke.brand()
    todoke.serve()
    secret = todoke.ok("key", "add", "test").strip()
    host, port = todoke.http.split(":")
    context = ssl.create_default_context(cafile=certificate)
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=90)
    connection.request("POST", "/api/v1/session", json.dumps({"token": secret}), {"Origin": f"https://{todoke.http}"})
    answer = connection.getresponse()
    answer.read()
    tap.ok(answer.status == 204 and "; Secure" in answer.headers["Set-Cookie"], "a sign-in over HTTPS has a cookie that stays there", str(answer.headers))
    connection.request("POST", "/api/v1/messages", json.dumps({"to": "a@b.example", "subject": "s", "text": "t" * 500000}), {"Authorization": "Bearer " + secret})
    answer = connection.getresponse()
    tap.equal((answer.status, json.loads(answer.read())["state"]), (202, "accepted"), "a large body goes through")
    tap.ok(connection.sock.version() in ("TLSv1.3", "TLSv1.2"), "by a TLS of today", connection.sock.version())
    connection.request("GET", "/api")
    tap.equal((answer := connection.getresponse()).status, 200, "and a large answer")
    tap.ok(len(answer.read()) > 50000, "whole")
    with socket.create_connection((host, int(port)), timeout=90) as clear:
        clear.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        tap.ok(not clear.recv(100).startswith(b"HTTP/1.1 200"), "clear text gets no answer")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    warnings.simplefilter("ignore") # Python warns of what we want to be refused
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    try:
        with socket.create_connection((host, int(port)), timeout=90) as peer:
            old.wrap_socket(peer)
        tap.ok(False, "TLS 1.1 is refused")
    except (ssl.SSLError, OSError):
        tap.ok(True, "TLS 1.1 is refused")
    tap.equal(todoke.stop(), 0, "the server ends well")
    for wrong, word in ((("tls__cert", ""), "tls.cert"), (("tls__key", certificate), "tls.key"), (("tls__cert", "/nothing"), "/nothing")):
        server = todoke.spawn(**dict([wrong]))
        tap.ok(server.popen.wait(90) == 2 and word in server.said(), f"{word}: it does not start, and says why", server.said()[-500:])
