"""dsn - an error mail as a receiver's program would write it (RFC 3464), for tests that hand one in."""


def dsn(recipient, to="news@shop.example", host="mx.far.example", status="5.1.1", said="550 5.1.1 <{}> User unknown", action="failed", original=""):
    """`original` is the header of the mail that failed; lines end in CRLF."""
    third = ["--B", "Content-Type: text/rfc822-headers", "", *original.splitlines(), ""] if original else []
    return "\r\n".join([
        f"From: Mail Delivery Subsystem <MAILER-DAEMON@{host}>", f"To: <{to}>", "Subject: Returned mail: see transcript for details",
        "Auto-Submitted: auto-replied", "MIME-Version: 1.0", 'Content-Type: multipart/report; report-type=delivery-status; boundary="B"', "",
        "--B", "Content-Type: text/plain", "", f"This address had permanent fatal errors: <{recipient}>", "",
        "--B", "Content-Type: message/delivery-status", "", f"Reporting-MTA: dns; {host}", "",
        f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", f"Status: {status}", f"Diagnostic-Code: smtp; {said.format(recipient)}", "",
        *third, "--B--", ""])
