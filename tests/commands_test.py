"""Small commands that look at a store, on both: which servers there are (node list)."""
from tap import Tap
from todoke import Place, stores


def nodes(tap, words, todoke):
    before = todoke.run("node", "list")
    tap.ok(before.returncode == 1 and "no server" in before.stdout, f"{words}: no node yet", before.stdout)
    todoke.ok("source", "add", "127.66.0.9", "--ehlo", "a.shop.example", "--node", "1")
    todoke.ok("source", "add", "127.66.0.10", "--ehlo", "b.shop.example")
    todoke.serve()
    row = todoke.json("node", "list")
    tap.equal((row["node"], row["state"], row["life"], row["leads"], row["buckets"], row["on_wire"]), (1, "alive", 1, True, 256, 0), f"{words}: one node, which lives and owns all")
    tap.equal((row["sources"], row["shared_sources"]), (["127.66.0.9"], ["127.66.0.10"]), f"{words}: its source, and everybody's")
    tap.ok(row["since"] and row["until"] > row["since"] and row["version"], f"{words}: since when, until when, which version", str(row))
    table = todoke.ok("node", "list")
    tap.ok("alive" in table and "127.66.0.9  (leads)" in table and "everybody's: 127.66.0.10" in table, f"{words}: as a table", table)
    tap.equal(todoke.stop(), 0, f"{words}: it stops")
    done = todoke.run("node", "list", "--json")
    tap.ok(done.returncode == 1 and '"stopped"' in done.stdout, f"{words}: and is listed as stopped", done.stdout)
    tap.equal(todoke.run("node", "kill").returncode, 2, f"{words}: there is no other verb")


with Tap() as shown:
    for store_name, store_url in stores("commands"):
        with Place("commands") as place:
            nodes(shown, store_name, place.installation(store=store_url))
