// verify.mjs - DKIM, SPF and DMARC of one mail by the npm package mailauth: an implementation that is not ours.
//   node verify.mjs ZONE.json MAIL [IP HELO SENDER]   prints {"dkim": "pass", "dkim_domain": ..., "spf": ..., "dmarc": ...}
// ZONE.json is CLI.md's `dns` object; a name that is not in it does not exist. Nothing asks the network.
import { readFileSync } from 'node:fs';
import { authenticate } from 'mailauth';

const [zonePath, mailPath, ip = '127.0.0.1', helo = 'mta.shop.example', sender] = process.argv.slice(2);
const zone = new Map(Object.entries(JSON.parse(readFileSync(zonePath, 'utf8'))).map(([name, records]) => [name.toLowerCase(), records]));

function absent(code, name) {
    return Object.assign(new Error(`${code} ${name}`), { code });
}

async function resolver(name, type) {
    const records = zone.get(name.toLowerCase().replace(/\.$/, ''));
    if (!records) throw absent('ENOTFOUND', name);
    const found = records[type];
    if (!found || !found.length) throw absent('ENODATA', name);
    if (type === 'TXT') return found.map((record) => (Array.isArray(record) ? record : [record]));
    if (type === 'MX') return found.map(([priority, exchange]) => ({ priority, exchange }));
    return found;
}

const mail = readFileSync(mailPath);
const result = await authenticate(mail, { ip, helo, sender: sender ?? '', mta: 'test.example', resolver, disableArc: true, disableBimi: true });
const best = result.dkim.results.find((one) => one.status.result === 'pass') ?? result.dkim.results[0];
process.stdout.write(JSON.stringify({
    dkim: best?.status?.result ?? 'none',
    dkim_domain: best?.signingDomain ?? '',
    dkim_comment: best?.status?.comment ?? '',
    algorithm: best?.algo ?? '',
    spf: result.spf ? result.spf.status.result : 'none',
    dmarc: result.dmarc ? result.dmarc.status.result : 'none',
}) + '\n');
