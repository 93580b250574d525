"""Issue 4.5: one mail for two receivers, both of which wait: asked for by its Message-ID, the API tells of each what binds there."""
import smtplib
import urllib.parse

from contract import Api
from submission import DOOR, STARTTLS, TRUSTED, door
from tap import Tap
from todoke import Place, stores

MAIL = b"From: news@shop.example\r\nTo: all@recv.example\r\nSubject: two\r\nMessage-ID: <two@shop.example>\r\nDate: Mon, 23 Nov 2026 09:00:00 +0900\r\n\r\ntext\r\n"
SITES = ("recv", "sink") # nobody listens there


def story(tap, words, store):
    with Place("several") as place:
        todoke = door(place, store=store, test__time_percent="100")
        api = Api(todoke.http, todoke.ok("key", "add", "looks").strip().split()[-1])
        todoke.serve()
        with smtplib.SMTP(DOOR, STARTTLS, source_address=(TRUSTED, 0), timeout=60) as client:
            tap.equal(client.sendmail("news@shop.example", [f"ann@{site}.example" for site in SITES], MAIL), {}, f"{words}: one mail for two is taken")

        for site in SITES:
            todoke.server.wait_for(rf"the breaker opened .* site=mx\.{site}\.example", 20)
        _, _, said = api.ask("GET", f"/explain/message/{urllib.parse.quote('<two@shop.example>', safe='')}")
        told = {row["email"]: ("binds: breaker" in row["next"]["en"], "サーキットブレーカー" in row["next"]["ja"]) for row in said["items"]}
        tap.equal(told, {f"ann@{site}.example": (True, True) for site in SITES}, f"{words}: what binds is told of both receivers, and not of the last one alone")
        todoke.stop()


with Tap() as shown:
    for store_name, store_url in stores("explain_several"):
        story(shown, store_name, store_url)
