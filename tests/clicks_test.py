"""Opens and clicks of a campaign: links lead through us and nowhere but where the mail said (S85, X6), a GET changes nothing but counts (U11),
tokens of one kind open nothing of another and a changed one opens nothing (X7), robots and privacy proxies are kept apart from people (U10),
and a kill -9 loses no click that was answered. The one-click POST of a mail program excludes at once, a GET of the same link nobody (M46, D07, L4)."""
import datetime
import email
import email.policy
import html.parser
import http.client
import os
import random
import re
import socket
import threading
import time

from receiver import Receiver
from tap import Tap
from todoke import NET, PORT, Place, until, stores

GOOD = f"{NET}.77"
ZONE = {"good.example": {"MX": [[10, "mx.good.example"]]}, "mx.good.example": {"A": [GOOD]}}
PAGE = ("<p>{{ contact.name }} 様</p><a href=\"https://shop.example/sale?a=1&amp;b=2\">セール</a> <a href='https://shop.example/地図'>地図</a>"
        "<a href=\"https://shop.example/me/{{ contact.email }}\">あなた</a><a href=\"{{ unsubscribe_url }}\">解除</a><a href=\"https://shop.example/3\">3</a>")
PERSON = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36"
TARGETS = ["https://shop.example/sale?a=1&b=2", "https://shop.example/%E5%9C%B0%E5%9B%B3", "https://shop.example/3"]


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.hrefs, self.images = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.hrefs.append(dict(attributes)["href"])
        if tag == "img":
            self.images.append(dict(attributes)["src"])


OWN = """name: own
agents:
  - {part: acme sandbox, who: robot}
  - {is: Our Reader/1, who: proxy}
networks:
  - {network: 127.91.0.0/16, who: robot}
examples:
  - {agent: Acme Sandbox 2, who: robot}
"""


def ask(where, path, method="GET", agent=PERSON, source=None, **headers):
    connection = http.client.HTTPConnection(where, timeout=60, source_address=(source, 0) if source else None)
    connection.putrequest(method, path)
    if agent is not None:
        connection.putheader("User-Agent", agent)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["Location"]


def path_of(url):
    return re.sub(r"^https://[^/]+", "", url)


def counts(todoke):
    found = todoke.json("campaign", "report", "sale")["engaged"]
    return {key: count for key, count in found.items() if not key.startswith("download")}


def counted(todoke, want):
    try:
        until(lambda: counts(todoke) == want, 30, "the counts")
    except Exception:  # noqa: BLE001 - the comparison below says what they were
        pass
    return counts(todoke)


def links_of(receiver, person):
    mail = email.message_from_bytes(receiver.to(person)[0], policy=email.policy.default)
    return mail, Links(mail.get_body(("html",)).get_content())


def a_mail(tap, receiver):
    mail, links = links_of(receiver, "p0@good.example")
    paths = [path_of(url) for url in links.hrefs]
    tap.equal([bool(re.fullmatch(r"/c/[a-z2-7]{50}", path)) for path in paths], [True, True, False, False, True], "links that are the same for everybody lead through us")
    tap.equal(links.hrefs[2], "https://shop.example/me/p0@good.example", "a personal one stays as it is")
    tap.ok(len(links.images) == 1 and re.fullmatch(r"/o/[a-z2-7]{50}", path_of(links.images[0])), "one pixel", str(links.images))
    text = mail.get_body(("plain",)).get_content()
    tap.ok("https://shop.example/sale?a=1&b=2" in text and "/c/" not in text, "the text part shows where they really lead", text)
    return [paths[0], paths[1], paths[4]], path_of(links.images[0])


def who_is_who(tap, todoke, clicks, pixel):
    where = todoke.http
    tap.equal([ask(where, path) for path in clicks[:2]], [(302, TARGETS[0]), (302, TARGETS[1])], "a click leads where the mail said")
    tap.equal(ask(where, clicks[0].upper().replace("/C/", "/c/"))[0], 302, "whatever the case of its letters")
    tap.equal(ask(where, clicks[2], "HEAD")[0], 302, "HEAD leads there too, uncounted")
    tap.equal([ask(where, clicks[2], agent=agent)[0] for agent in ("curl/7.88", "Barracuda Sentinel", None)], [302] * 3, "robots are led as well")
    tap.equal(ask(where, clicks[2], Sec_Purpose="prefetch;prerender")[0], 302, "and prefetchers")
    tap.equal([ask(where, clicks[2], agent="Mozilla/5.0 (Acme Sandbox 3)")[0], ask(where, clicks[2], source="127.91.0.7")[0]], [302] * 2,
              "and those that a file of the operator names, by agent and by network")
    opens = [ask(where, pixel, agent=agent) for agent in (PERSON, PERSON, "Mozilla/5.0", "Our Reader/1", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "Googlebot/2.1")]
    tap.equal(opens, [(200, None)] * 6, "the pixel is there for all")
    tap.equal(counted(todoke, {"opens": 3, "opened": 1, "opens_proxy": 2, "opens_robot": 1, "clicks": 3, "clicked": 1, "clicks_robot": 6}),
              {"opens": 3, "opened": 1, "opens_proxy": 2, "opens_robot": 1, "clicks": 3, "clicked": 1, "clicks_robot": 6},
              "people, proxies and robots are counted apart, and a person once")


def behaviour(tap, todoke, receiver):
    """All links of a mail at once, on connections that stand already. On a machine that still took longer than a second it is a person: the events say."""
    _, links = links_of(receiver, "p1@good.example")
    host, port = todoke.http.split(":")
    peers = [socket.create_connection((host, int(port)), timeout=60) for _ in range(3)]
    for peer, url in zip(peers, (links.hrefs[0], links.hrefs[1], links.hrefs[4])):
        peer.sendall(f"GET {path_of(url)} HTTP/1.1\r\nHost: x\r\nUser-Agent: {PERSON}\r\n\r\n".encode())
    tap.equal([peer.recv(4096).split(b" ")[1] for peer in peers], [b"302"] * 3, "three links of a mail are followed at once")
    for peer in peers:
        peer.close()
    mine = lambda: [event["at"] for event in todoke.rows("event", "tail", "--type", "clicked", "--last", "100") if event["address"] == "p1@good.example"]  # noqa: E731
    times = [datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() for at in until(lambda: mine() if len(mine()) == 3 else None, 30, "three clicks")]
    is_machine = max(times) - min(times) < 1
    want = {"opens": 3, "opened": 1, "opens_proxy": 2, "opens_robot": 1, "clicks": 3, "clicked": 1, "clicks_robot": 9}
    if not is_machine:
        want.update(clicks=6, clicked=2, clicks_robot=6)
    tap.equal(counted(todoke, want), want, "every link of a mail within a second is a machine, whatever it calls itself"
              + ("" if is_machine else f"; these took {max(times) - min(times):.1f} s here"))
    return want["clicks_robot"]


def not_ours(tap, todoke, clicks, pixel):
    where, rng = todoke.http, random.Random(6)
    before = todoke.json("campaign", "report", "sale")["engaged"]
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    wrong = []
    for _ in range(400):
        token = list(clicks[0][3:])
        place = rng.randrange(len(token))
        token[place] = rng.choice([c for c in letters if c != token[place]])
        wrong.append("/c/" + "".join(token))
    wrong += ["/c/" + pixel[3:], "/o/" + clicks[0][3:], "/c/", "/c/x", clicks[0] + "a", clicks[0][:-1], "/u/" + clicks[0][3:], clicks[0] + "/https://evil.example"]
    tap.equal({ask(where, path)[0] for path in wrong}, {404}, "a changed token, and one of another kind, lead nowhere")
    tap.equal(ask(where, clicks[0] + "?url=https://evil.example/")[1], TARGETS[0], "what is added changes nothing")
    status = {ask(where, clicks[0], method)[0] for method in ("POST", "PUT", "DELETE")}
    tap.equal(status, {405}, "there is nothing to POST to")
    after = todoke.json("campaign", "report", "sale")["engaged"]
    tap.equal({key: after[key] - before[key] for key in ("clicks_robot", "opens")}, {"clicks_robot": 0, "opens": 0}, "and nothing is counted")
    tap.equal(todoke.run("suppress", "list").stdout.count("@"), 0, "a GET excluded nobody (U11)")


def post(where, path, body, kind):
    connection = http.client.HTTPConnection(where, timeout=60)
    begun = time.monotonic()
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["Location"], answer.headers["Set-Cookie"], time.monotonic() - begun


def one_click(tap, todoke, receiver):
    """RFC 8058, as mail programs do it: without a cookie, a session or a page."""
    mail, _ = links_of(receiver, "p39@good.example")
    signed = re.sub(r"\s", "", re.search(r"h=([^;]*)", mail["DKIM-Signature"])[1]).lower().split(":")
    tap.ok(mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click" and {"list-unsubscribe", "list-unsubscribe-post"} <= set(signed),
           "one click is offered, and the offer is signed (M46)", f"{mail['List-Unsubscribe-Post']} {signed}")
    path = path_of(re.search(r"<(https://[^>]*)>", mail["List-Unsubscribe"])[1])
    excluded = lambda: [(row["address"], row["why"]) for row in todoke.rows("suppress", "list")]  # noqa: E731
    tap.equal([ask(todoke.http, path, method, agent=agent) for method, agent in (("GET", PERSON), ("GET", "Barracuda Sentinel"), ("HEAD", PERSON))], [(200, None)] * 3, "a GET shows a page")
    tap.equal(excluded(), [], "and excludes nobody (U11, M46)")
    form, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
    tap.equal(post(todoke.http, path[:-1] + ("a" if path[-1] != "a" else "b"), "List-Unsubscribe=One-Click", form)[0], 404, "a changed link is nobody's")
    status, location, cookie, seconds = post(todoke.http, path, "List-Unsubscribe=One-Click", form)
    tap.ok((status, location, cookie) == (200, None, None), "the POST is answered: no redirect, no cookie", f"{status} {location} {cookie} {seconds:.2f} s")
    tap.equal(excluded(), [("p39@good.example", "unsubscribed")], "and has taken effect when it is (M46, D07, L4)")
    again = [post(todoke.http, path, "List-Unsubscribe=One-Click", form)[0], post(todoke.http, path, "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n", parts)[0]]
    tap.equal((again, len(excluded())), ([200, 200], 1), "a second one, and one in the other form, say the same")
    todoke.campaign("next", html=PAGE, list_name="people")
    todoke.ok("campaign", "send", "next")
    until(lambda: len(receiver.mails) == 79, 60, "39 mails more")
    tap.equal(len(receiver.to("p39@good.example")), 1, "the next campaign leaves him out (S74, L4)")


def killed(tap, todoke, receiver):
    """Clicks of many people while the server is killed: each one that was answered is an event afterwards."""
    answered, lock = [], threading.Lock()
    paths = [path_of(links_of(receiver, f"p{i}@good.example")[1].hrefs[0]) for i in range(2, 40)]
    before = todoke.sql("SELECT COUNT(*) FROM event WHERE kind = 18")[0][0]

    def click(own):
        for _ in range(200):
            for path in own:
                try:
                    if ask(todoke.http, path)[0] == 302:
                        with lock:
                            answered.append(path)
                except (OSError, http.client.HTTPException):
                    return

    threads = [threading.Thread(target=click, args=(paths[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 300, 30, "300 clicks")
    todoke.kill()
    for thread in threads:
        thread.join()
    now = todoke.sql("SELECT COUNT(*) FROM event WHERE kind = 18")[0][0]
    tap.ok(len(answered) <= now - before <= len(answered) + len(threads), "kill -9: every click that was answered is there", f"{len(answered)} answered, {now - before} there")
    todoke.ok("key", "rotate", "all")
    wrong = todoke.run("key", "rotate", "clocks")
    tap.ok(wrong.returncode == 2 and "no such kind" in wrong.stderr, "a kind of key that there is not is told", wrong.stderr)
    todoke.serve()
    tap.equal(ask(todoke.http, paths[0]), (302, TARGETS[0]), "and links work after it, and after a newer key was made (X7)")


def story(tap, store):
    with Place("clicks") as place:
        todoke = place.installation(zone=ZONE, store=store)
        receiver = Receiver(GOOD, PORT)
        todoke.brand()
        people = place.write("people.csv", "email,name\n" + "".join(f"p{i}@good.example,人{i}\n" for i in range(40)))
        todoke.ok("contact", "import", people, "--list", "people", "--brand", "Hanamaru", "--consent", "test")
        page = place.write("page.html", PAGE)
        wrong = todoke.run("campaign", "create", "x", "--brand", "Hanamaru", "--list", "people", "--subject", "s", "--html", page, "--count", "hits")
        tap.ok(wrong.returncode == 2 and "want clicks, opens" in wrong.stderr, "what cannot be counted is told", wrong.stderr)
        todoke.ok("campaign", "create", "sale", "--brand", "Hanamaru", "--list", "people", "--subject", "セール", "--html", page, "--count", "clicks,opens")
        wrong = todoke.run("serve", "--set", f"robots.folder={os.path.dirname(place.write('wrong/x.yaml', 'name: x' + chr(10) + 'agents: 1'))}")
        tap.ok(wrong.returncode and "x.yaml line 2" in wrong.stderr, "a file of robots that cannot be read is told by its line", wrong.stderr)
        todoke.serve(robots__folder=os.path.dirname(place.write("robots/own.yaml", OWN)))
        todoke.ok("campaign", "send", "sale")
        until(lambda: len(receiver.mails) == 40, 30, "40 mails")
        clicks, pixel = a_mail(tap, receiver)
        who_is_who(tap, todoke, clicks, pixel)
        robots = behaviour(tap, todoke, receiver)
        not_ours(tap, todoke, clicks, pixel)
        one_click(tap, todoke, receiver)
        report = todoke.ok("campaign", "report", "sale", "--lang", "ja")
        tap.ok(re.search(r"開封した人: 1 \(延べ 3\)", report) and f"自動のクリック {robots}" in report, "the report says it in words", report[:600])
        if not store:
            killed(tap, todoke, receiver)
        receiver.end()
        tap.equal(todoke.stop(), 0, "the server ends well")


with Tap() as tap:
    for words, store in stores("clicks"):
        tap.note(f"on {words}")
        story(tap, store)
