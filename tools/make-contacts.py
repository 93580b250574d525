#!/usr/bin/env python3
"""make-contacts.py [--count N] [--seed N] OUT - sample contacts for the playground: a CSV in CP932, as Excel saves it in Japan.

People are made up: names from lists of common ones, addresses on the playground's domains only (src/app/playground/sites.c),
telephone numbers from ranges that Japan keeps for no subscriber (03-0000-xxxx and kin), shops and firms that do not exist. The
same seed gives the same file. What an address meets is decided by the playground (playground_fate), not here; a domain's weight
below only says how many of our customers live there."""
import argparse
import csv
import io
import random

# family name, its reading in half a romaji for addresses, katakana
FAMILIES = [line.split() for line in """
佐藤 sato サトウ|鈴木 suzuki スズキ|高橋 takahashi タカハシ|田中 tanaka タナカ|伊藤 ito イトウ|渡辺 watanabe ワタナベ|山本 yamamoto ヤマモト|中村 nakamura ナカムラ
小林 kobayashi コバヤシ|加藤 kato カトウ|吉田 yoshida ヨシダ|山田 yamada ヤマダ|佐々木 sasaki ササキ|山口 yamaguchi ヤマグチ|松本 matsumoto マツモト|井上 inoue イノウエ
木村 kimura キムラ|林 hayashi ハヤシ|斎藤 saito サイトウ|清水 shimizu シミズ|山崎 yamazaki ヤマザキ|森 mori モリ|池田 ikeda イケダ|橋本 hashimoto ハシモト
阿部 abe アベ|石川 ishikawa イシカワ|山下 yamashita ヤマシタ|中島 nakajima ナカジマ|石井 ishii イシイ|小川 ogawa オガワ|前田 maeda マエダ|岡田 okada オカダ
長谷川 hasegawa ハセガワ|藤田 fujita フジタ|後藤 goto ゴトウ|近藤 kondo コンドウ|村上 murakami ムラカミ|遠藤 endo エンドウ|青木 aoki アオキ|坂本 sakamoto サカモト
斉藤 saitoh サイトウ|福田 fukuda フクダ|太田 ota オオタ|西村 nishimura ニシムラ|藤井 fujii フジイ|金子 kaneko カネコ|岡本 okamoto オカモト|三浦 miura ミウラ
髙橋 takahashi タカハシ|﨑田 sakita サキタ|原田 harada ハラダ|中川 nakagawa ナカガワ|中野 nakano ナカノ|小野 ono オノ|竹内 takeuchi タケウチ|和田 wada ワダ
""".replace("\n", "|").split("|") if line.strip()]
GIVENS = [line.split() for line in """
翔太 shota ショウタ|健一 kenichi ケンイチ|大輔 daisuke ダイスケ|拓也 takuya タクヤ|直樹 naoki ナオキ|誠 makoto マコト|浩 hiroshi ヒロシ|隆 takashi タカシ|蓮 ren レン|悠真 yuma ユウマ
陽翔 haruto ハルト|湊 minato ミナト|修 osamu オサム|和也 kazuya カズヤ|亮 ryo リョウ|美咲 misaki ミサキ|さくら sakura サクラ|陽子 yoko ヨウコ|恵子 keiko ケイコ|由美 yumi ユミ
愛 ai アイ|結衣 yui ユイ|葵 aoi アオイ|凛 rin リン|真由美 mayumi マユミ|智子 tomoko トモコ|裕子 yuko ユウコ|久美子 kumiko クミコ|千尋 chihiro チヒロ|薫 kaoru カオル
大樹 taiki タイキ|優斗 yuto ユウト|美穂 miho ミホ|綾 aya アヤ|彩花 ayaka アヤカ|瞳 hitomi ヒトミ|明 akira アキラ|進 susumu ススム|豊 yutaka ユタカ|桃子 momoko モモコ
""".replace("\n", "|").split("|") if line.strip()]
ENGLISH_FAMILIES = "Smith Johnson Brown Taylor Wilson Evans Thomas Roberts Walker Wright Robinson Thompson White Hughes Edwards Green Hall " \
    "Wood Harris Martin Jackson Clarke Lewis Hill Scott Cooper Ward Turner Carter Phillips Mitchell Parker Bennett Murphy".split()
ENGLISH_GIVENS = "Oliver George Harry Jack Emily Olivia Sophie Grace James William Charlotte Amelia Daniel Hannah Lucy Thomas Samuel " \
    "Alice Edward Laura Peter Rachel Simon Helen Martin Claire Andrew Julia Kevin Nina".split()
PREFECTURES = "北海道 青森県 岩手県 宮城県 秋田県 山形県 福島県 茨城県 栃木県 群馬県 埼玉県 千葉県 東京都 神奈川県 新潟県 富山県 石川県 福井県 山梨県 長野県 " \
    "岐阜県 静岡県 愛知県 三重県 滋賀県 京都府 大阪府 兵庫県 奈良県 和歌山県 鳥取県 島根県 岡山県 広島県 山口県 徳島県 香川県 愛媛県 高知県 福岡県 " \
    "佐賀県 長崎県 熊本県 大分県 宮崎県 鹿児島県 沖縄県".split()
PREFECTURE_WEIGHTS = [5, 1, 1, 2, 1, 1, 2, 3, 2, 2, 7, 6, 14, 9, 2, 1, 1, 1, 1, 2, 2, 4, 8, 2, 1, 3, 9, 5, 1, 1, 1, 1, 2, 3, 1, 1, 1, 1, 1, 5, 1, 1, 2, 1, 1, 2, 1]

# domain, weight, who: p(rivate, Japanese), e (private, English), or the name of the firm that has the domain
DOMAINS = [
    ("gmail.example", 2300, "p"), ("gmail.example", 350, "e"), ("yahoo-jp.example", 1180, "p"), ("docomo.example", 1050, "p"),
    ("ezweb.example", 480, "p"), ("au.example", 320, "p"), ("softbank.example", 430, "p"), ("i-softbank.example", 260, "p"),
    ("icloud.example", 560, "p"), ("outlook.example", 260, "p"), ("outlook.example", 170, "e"), ("hotmail.example", 200, "p"),
    ("yahoo.example", 110, "e"), ("aol.example", 40, "e"),
    ("sakura-shoji.example", 210, "さくら商事株式会社"), ("aozora-design.example", 130, "株式会社あおぞらデザイン"), ("brightwater.example", 90, "Brightwater Ltd"),
    ("tokai-kogyo.example", 190, "東海工業株式会社"), ("minato-bussan.example", 150, "みなと物産株式会社"), ("northgate.example", 80, "Northgate Trading"),
    ("yamada-shoten.example", 160, "有限会社山田商店"), ("hanamaru-cafe.example", 90, "はなまるカフェ"), ("u-midori.example", 200, "みどり大学"),
    ("nakamura-ss.example", 130, "株式会社中村製作所"), ("kaisha-mail.example", 180, "株式会社ホクト"), ("works-exchange.example", 150, "ワークス株式会社"),
    ("onsen-ryokan.example", 130, "湯けむり旅館"), ("city-hinode.example", 90, "日の出市役所"), ("isogashii.example", 50, "株式会社いそがしい"),
    ("garakei.example", 30, "p"), ("chiisana-hako.example", 30, "株式会社小さな箱"), ("furui-gateway.example", 30, "古井産業株式会社"),
    ("spamwall.example", 30, "壁谷警備保障株式会社"), ("viruswall.example", 20, "守屋医院"), ("strict-auth.example", 30, "株式会社厳格"),
    ("blocklist.example", 20, "黒田運輸株式会社"), ("naiki.example", 20, "内規総研株式会社"), ("delay-relay.example", 20, "のんびり農園"),
    ("port-closed.example", 12, "株式会社休業中"), ("reset.example", 12, "切断電機株式会社"), ("silent.example", 6, "沈黙書房"),
    ("accept.example", 100, "株式会社アクセプト"), ("null-mx.example", 25, "p"), ("kyuden-seika.example", 20, "求伝製菓株式会社"),
    # domains that are not in the zone: slips of the pen, and a firm that is no more
    ("gmial.example", 28, "p"), ("docmo.example", 16, "p"), ("haigyo-shoji.example", 21, "廃業商事株式会社"),
]


def local_part(rng, given, family, year):
    shape = rng.randrange(12)
    return [f"{given}.{family}", f"{family}.{given}", f"{given}{family}", f"{family}{given}", f"{given[0]}.{family}", f"{family}{year % 100:02d}",
            f"{given}{year}", f"{given}_{family}", f"{family}-{given}", f"{given}.{family}{year % 100:02d}", f"{given[0]}{family}{rng.randrange(1000)}",
            f"{family}.{given[0]}"][shape]


def people(count, rng):
    total = sum(weight for _, weight, _ in DOMAINS)
    homes = [(domain, who) for domain, weight, who in DOMAINS for _ in range(round(weight * count / total))]
    while len(homes) < count:
        homes.append(("gmail.example", "p"))
    rng.shuffle(homes)
    seen = set()
    for domain, who in homes[:count]:
        is_english = who == "e" or (who.isascii() and who != "p")
        year = rng.randrange(1955, 2006)
        if is_english:
            family, given, kana = rng.choice(ENGLISH_FAMILIES), rng.choice(ENGLISH_GIVENS), ""
            family_ascii, given_ascii = family.lower(), given.lower()
        else:
            family, family_ascii, family_kana = rng.choice(FAMILIES)
            given, given_ascii, given_kana = rng.choice(GIVENS)
            kana = f"{family_kana} {given_kana}"
        local = local_part(rng, given_ascii, family_ascii, year)
        address = f"{local}@{domain}"
        while address in seen:
            address = f"{local}{rng.randrange(2, 9999)}@{domain}"
        seen.add(address)
        company = "" if who in ("p", "e") else who
        phone = f"03-0000-{rng.randrange(10000):04d}" if company else f"090-0000-{rng.randrange(10000):04d}"
        prefecture = rng.choices(PREFECTURES, PREFECTURE_WEIGHTS)[0]
        joined = f"{rng.randrange(2019, 2027)}/{rng.randrange(1, 11):02d}/{rng.randrange(1, 29):02d}"
        yield [address, family, given, kana, company, phone, prefecture, joined, "英語" if is_english else "日本語"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=10000)
    arguments.add_argument("--seed", type=int, default=20261122)
    arguments.add_argument("out")
    given = arguments.parse_args()
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["メールアドレス", "姓", "名", "フリガナ", "会社名", "電話番号", "都道府県", "登録日", "言語"])
    rows.writerows(people(given.count, random.Random(given.seed)))
    with open(given.out, "wb") as file:
        file.write(text.getvalue().encode("cp932"))


main()
