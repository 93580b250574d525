// send.js - the same campaign by nodemailer's pooled transport: node send.js JOB.json; one line of JSON comes out
'use strict';
const fs = require('fs');
const nodemailer = require('nodemailer');

const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const transport = nodemailer.createTransport({
    host: job.host,
    port: job.port,
    name: 'mta.shop.example',
    pool: true,
    maxConnections: job.connections,
    maxMessages: Infinity,
    secure: false,
    ignoreTLS: true,
    ...(job.key ? { dkim: { domainName: 'shop.example', keySelector: 'todoke1', privateKey: job.key } } : {}),
});
// A template's holes are filled by joining its pieces: what the fastest template engine would do.
const html = job.html.split('{{ contact.name }}');
const text = job.text.split('{{ contact.name }}');
const begun = process.cpuUsage();
const start = process.hrtime.bigint();
let next = 0;
let ended = 0;
let failed = 0;

function over() {
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    const cpu = process.cpuUsage(begun);
    console.log(JSON.stringify({
        sent: ended - failed, failed, seconds, cpu_ms: (cpu.user + cpu.system) / 1e3 / job.count, rss_mb: process.resourceUsage().maxRSS / 1024,
    }));
    transport.close();
    process.exit();
}

function send() {
    if (next === job.count) return;
    const number = next++;
    const name = `Person ${number}`;
    const to = `p${number}@d${number % job.domains}.example`;
    const mail = {
        envelope: { from: `b-${number}@bounce.shop.example`, to: [to] },
        from: 'Hanamaru <news@shop.example>',
        to: { name, address: to },
        subject: job.subject,
        list: { unsubscribe: { url: `https://shop.example/u/${number}` } },
        headers: { 'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click' },
        html: html.join(name),
        text: text.join(name),
    };
    transport.sendMail(mail, (error) => {
        if (error && failed++ < 3) console.error(error.message);
        if (++ended === job.count) over();
        else send();
    });
}

for (let i = 0; i < job.connections * 2; i++) send();
