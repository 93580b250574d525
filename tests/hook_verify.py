"""hook_verify - the signature of a webhook, by the letter of Standard Webhooks."""
import base64
import hashlib
import hmac
import time


def verify(secret, headers, body):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    mine = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(mine, theirs) for theirs in headers["webhook-signature"].split(" ")) and abs(time.time() - int(headers["webhook-timestamp"])) < 300
