"""Issue 4.5: one mail for two receivers, both of which wait: asked for by its Message-ID, the API tells of each what binds there."""
import smtplib
import urllib.parse

from contract import Api
from submission import DOOR, STARTTLS, TRUSTED, door
from tap import Tap
from todoke import Place, stores, until

MAIL = b"From: news@shop.example\r\nTo: all@recv.example\r\nSubject: two\r\nMessage-ID: <two@shop.example>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0900\r\n\r\ntext\r\n"
SITES = {"recv.example": "mx.recv.example", "sink.example": "mx.sink.example"}


def story(tap, words, store):
    with Place("several") as place:
        todoke = door(place, store=store)
        api = Api(todoke.http, todoke.ok("key", "add", "looks").strip().split()[-1])
        for site in SITES.values():
            todoke.ok("queue", "suspend", "--site", site, "--for", "2h", "--why", "their night")
        todoke.serve()
        with smtplib.SMTP(DOOR, STARTTLS, source_address=(TRUSTED, 0), timeout=60) as client:
            tap.equal(client.sendmail("news@shop.example", [f"ann@{domain}" for domain in SITES], MAIL), {}, f"{words}: one mail for two is taken")

        def told():
            _, _, said = api.ask("GET", f"/explain/message/{urllib.parse.quote('<two@shop.example>', safe='')}")
            return {row["email"].split("@")[1]: row["next"] for row in said.get("items", [])}

        def all_told():
            said = told()
            return len(said) == 2 and all("order" in next_["en"] and "人の指示" in next_["ja"] for next_ in said.values())
        tap.ok(until(all_told, 20, f"what binds at both: {told()}"), f"{words}: what binds is told of both receivers, and not of the last one alone")
        todoke.stop()


with Tap() as shown:
    for store_name, store_url in stores("explain_several"):
        story(shown, store_name, store_url)
