// send.mjs HOST PORT USER KEY [secure] - hands in three mails by nodemailer: STARTTLS, or TLS from the first byte; prints the replies
import nodemailer from "nodemailer";

const [host, port, user, pass, secure] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host, port: Number(port), secure: secure === "secure", requireTLS: secure !== "secure", pool: true, maxConnections: 2,
  auth: { user, pass }, tls: { rejectUnauthorized: false },
});
const replies = await Promise.all([1, 2, 3].map((number) => transport.sendMail({
  from: "花まる商店 <news@shop.example>", to: `node${number}@recv.example`, subject: `ご注文 ${number}`,
  text: "ありがとうございます。\n.\n..", html: "<p>ありがとうございます。</p>", headers: { "X-Todoke-Tag": "node" },
})));
for (const reply of replies) console.log(reply.response);
transport.close();
