"""Own the fixed texts on which a derived graph is compared with its original: many languages, lengths and kinds."""
# ruff: noqa: RUF001 - letters that look like others are what is wanted

_STORY = (
    "The cat had lived in the house longer than anybody else. It knew which stair creaked, when the sun reached the "
    "windowsill of the kitchen, and how long the door to the garden stays open after somebody has gone out for wood. "
    "In the mornings it watched the birds, in the afternoons it slept beside the oven while the bread was rising, and "
    "in the evenings it waited for the train whose whistle told that the children were coming home from school. When "
    "the family moved to the city, the cat stayed, and the new tenants found it where it had always been."
)
_NEWS = (
    "Inflation had been above the target for nine quarters when the central bank met on Tuesday. The governors voted "
    "six to three to raise the policy rate by a quarter point, citing wages and the price of energy. Markets had "
    "expected the step; the currency hardly moved, and bonds of two years fell by three hundredths. Economists differ "
    "on what comes next: some see the peak of the cycle, others point to services, whose prices rise by five percent "
    "a year. The minutes will be published in three weeks, and the next meeting is in June."
)

# Each is about one of the subjects that the queries ask for, and of some kind that quantisation may do harm to.
DOCUMENTS = (
    # short
    "cat",
    "OK",
    "Reset password",
    "3.14",
    "a",
    "¿Qué?",
    # sentences
    "The cat sits on the warm windowsill and watches the birds in the garden.",
    "To reset your password, open Settings, choose Security, and follow the link in the e-mail.",
    "The central bank raised its policy rate by a quarter point on Tuesday, to 4.25 percent.",
    "Photosynthesis turns sunlight, water and carbon dioxide into sugar and oxygen.",
    "Knead the dough for ten minutes, let it rise for an hour, and bake it at 230 degrees.",
    "The treaty of 1648 ended thirty years of war in the Holy Roman Empire.",
    "A black hole is a region where gravity is so strong that not even light gets out.",
    "She scored twice in the final, and the team won its first championship in forty years.",
    "The train to Vienna leaves at 7:42 from platform nine and takes four hours.",
    "Aspirin thins the blood and should not be taken before an operation.",
    "Not the cat sits on the windowsill, but the dog, and nobody watches the birds.",
    # other languages
    "Die Katze liegt auf der warmen Fensterbank und schaut den Vögeln zu.",
    "Wie setze ich mein Passwort zurück, wenn ich keinen Zugriff mehr auf mein Postfach habe?",
    "La banque centrale a relevé son taux directeur d'un quart de point mardi.",
    "La fotosíntesis convierte la luz del sol, el agua y el dióxido de carbono en azúcar.",
    "Il treno per Vienna parte alle 7:42 dal binario nove e impiega quattro ore.",
    "Чёрная дыра — область, из которой не может вырваться даже свет.",
    "昨日、中央銀行は政策金利を引き上げた。",
    "光合作用把阳光、水和二氧化碳变成糖和氧气。",
    "빵 반죽을 십 분 동안 치댄 뒤 한 시간 부풀립니다.",
    "القطة تجلس على حافة النافذة الدافئة وتراقب الطيور.",
    "बिल्ली गर्म खिड़की पर बैठी है और पक्षियों को देख रही है।",
    "Ha'rakevet le-Vina yotset be-7:42; הרכבת לווינה יוצאת בשעה 7:42 מרציף תשע.",
    "รถไฟไปเวียนนาออกเวลาเจ็ดโมงสี่สิบสองนาที",
    "Şifremi nasıl sıfırlarım? Ayarlar'dan Güvenlik'i seçin.",
    # code and markup
    "for (let i = 0; i < rows.length; i += 1) { total += rows[i].price * rows[i].count; }",
    "SELECT name, sum(amount) FROM orders WHERE day >= '2024-01-01' GROUP BY name HAVING sum(amount) > 100;",
    'def reset(user: User) -> None:\n    """Send a link."""\n    token = sign(user.id, ttl=60)\n    mail(user, token)',
    '<a href="https://example.com/?a=1&b=2" class="link">Reset</a> <!-- one hour -->',
    '{"id": 17, "tags": ["a", "b"], "price": 12.50, "in_stock": true, "parent": null}',
    "docker run --rm --network none --read-only --env KEY=value registry.example.com/search:1.2.3",
    # emoji, numbers and odd characters
    "Party at 8 🎉🎉: bring 2 kg of ice, 3½ litres of juice & yourself! https://example.com/?a=1&b=2",
    "👩‍👩‍👧‍👦 🏳️‍🌈 ❤️‍🔥 🐈‍⬛",
    "+49 (0)30 1234-5678, 10115 Berlin, 1.234,56 €, 2024-02-29T23:59:60Z, 0x7fffffff, 6.02e23",
    "!!!???...---***###@@@%%%&&&",
    "ÀÉÎÕÜ àéîõü ﬁ ﬂ Ⅷ ① ａｂｃ e\u0301 \u200b\u00a0x",
    "HOW DO I RESET MY PASSWORD?????",
    # long
    _STORY,
    _NEWS,
)

QUERIES = (
    "How do I reset my password?",
    "Where does the cat sit?",
    "What did the central bank decide?",
    "how do plants make sugar",
    "baking bread at home",
    "Wann fährt der Zug nach Wien?",
    "为什么光逃不出黑洞？",
    "sum of the prices in JavaScript",
    "¿Qué medicina no debo tomar antes de una operación?",
    "party 🎉",
)

# For what scores every query with every document, and so costs much more.
PAIR_QUERIES = QUERIES[::2]
PAIR_DOCUMENTS = DOCUMENTS[::2]

# Longer than any model reads that is compared as a whole.
ENDLESS = " ".join(DOCUMENTS)
