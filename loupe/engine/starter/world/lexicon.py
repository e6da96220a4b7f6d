# ruff: noqa: E501 - lists of words
"""The words of the story world: who, what, where, how it feels, and what can happen."""

from __future__ import annotations

PRONOUNS = {
    "f": {"he": "she", "him": "her", "his": "her", "self": "herself"},
    "m": {"he": "he", "him": "him", "his": "his", "self": "himself"},
}

WOMEN = (
    "Mia Nora Clara Zoe Ada Ella Ruby Iris Lena Tessa Daisy Stella Hazel Luna Molly Wanda Olive Freya Greta Poppy "
    "Maya Leila Asha Ingrid Yuki Rosa Bella Edith Fatima Penny Sofia Tilda Vera Willa Amara Bonnie Celia Dora Esme Flora"
).split()
MEN = (
    "Tom Ben Felix Otto Hugo Max Leo Sam Finn Jonas Oscar Rufus Percy Basil Caspar Bruno Wilbur Ravi Kai Gus "
    "Hamish Ivan Jasper Kofi Lars Milo Ned Omar Pablo Quentin Rory Silas Theo Umar Victor Walter Yusuf Zack Arthur Edgar"
).split()
KINDS = (
    "fox owl bear rabbit hedgehog mouse badger otter crow deer frog goat penguin squirrel turtle wolf dragon troll fairy "
    "robot baker gardener sailor farmer painter miller doctor teacher juggler singer tailor shepherd clockmaker pirate "
    "princess wizard giant postman fisherman carpenter cook librarian captain knight ghost snail heron beaver donkey cat dog"
).split()
TRAITS = (
    "shy brave kind clever grumpy gentle proud lazy curious patient honest careful noisy quiet stubborn cheerful old young "
    "tiny tall polite greedy dreamy busy lonely wise clumsy friendly serious playful"
).split()
OBJECTS = (
    "kite drum lantern key map whistle bell basket ladder rope boat hat coat scarf ribbon mirror clock compass "
    "book letter ring necklace coin jar teapot cup spoon blanket pillow umbrella bucket shovel wheel wagon flute violin "
    "trumpet puppet ball marble button feather shell pebble candle crown sword shield telescope painting vase chest hammer "
    "brush pencil box bag cake pie seed pumpkin flag net"
).split()
OBJECT_ADJECTIVES = (
    "red blue green yellow golden silver purple orange black white brown grey pink wooden broken shiny heavy little huge "
    "soft striped rusty magic old new round crooked warm beautiful strange"
).split()
PLACES = (
    ("harbour", "at"), ("forest", "in"), ("hill", "on"), ("river", "by"), ("market", "at"), ("garden", "in"),
    ("castle", "in"), ("village", "in"), ("beach", "on"), ("island", "on"), ("cave", "in"), ("mountain", "on"),
    ("meadow", "in"), ("mill", "at"), ("tower", "in"), ("bridge", "on"), ("lake", "by"), ("school", "at"),
    ("library", "in"), ("kitchen", "in"), ("barn", "in"), ("orchard", "in"), ("station", "at"), ("valley", "in"),
    ("desert", "in"), ("lighthouse", "at"), ("bakery", "in"), ("square", "in"), ("attic", "in"), ("swamp", "in"),
    ("theatre", "in"), ("workshop", "in"), ("farm", "on"), ("pond", "by"), ("well", "by"), ("palace", "in"),
)  # fmt: skip
FOODS = "bread soup stew honey porridge pancakes apples cheese berries plums carrots biscuits jam rice noodles pears".split()
SKILLS = (
    ("swim", "swimming", "swam"), ("sing", "singing", "sang"), ("dance", "dancing", "danced"), ("climb", "climbing", "climbed"),
    ("read", "reading", "read"), ("paint", "painting", "painted"), ("cook", "cooking", "cooked"), ("sail", "sailing", "sailed"),
    ("skate", "skating", "skated"), ("juggle", "juggling", "juggled"), ("whistle", "whistling", "whistled"),
    ("ride", "riding", "rode"), ("knit", "knitting", "knitted"), ("dive", "diving", "dived"), ("write", "writing", "wrote"),
)  # fmt: skip
WEATHER = "sunny rainy windy snowy foggy cloudy stormy frosty cold warm".split()

# A mood, and the words that show it. A word belongs to one mood only.
MOODS = {
    "happy": ("happy", "glad", "joyful", "delighted"),
    "sad": ("sad", "unhappy", "gloomy", "miserable"),
    "angry": ("angry", "furious", "cross", "annoyed"),
    "afraid": ("afraid", "frightened", "scared", "terrified"),
    "tired": ("tired", "sleepy", "exhausted", "weary"),
    "surprised": ("surprised", "amazed", "astonished"),
    "hopeful": ("hopeful", "eager", "confident"),
    "worried": ("worried", "anxious", "nervous", "uneasy"),
    "sorry": ("sorry", "ashamed", "guilty"),
    "excited": ("excited", "thrilled", "breathless"),
    "calm": ("calm", "peaceful", "content", "relaxed"),
    "jealous": ("jealous", "envious"),
    "grateful": ("grateful", "thankful"),
    "homesick": ("homesick", "lost and alone"),
    "bored": ("bored", "restless"),
}

# What can happen in a sentence, and how an explanation names it.
EVENTS = {
    "introduces": ("an introduction", "someone is introduced"),
    "lives": ("where someone lives", "a home is described"),
    "owns": ("what someone owns", "a possession is described"),
    "likes": ("what someone likes", "a taste or habit is told"),
    "wants": ("a wish", "someone wants something"),
    "finds": ("a find", "something is found"),
    "loses": ("a loss", "something goes missing"),
    "searches": ("a search", "someone is searching"),
    "asks": ("a request", "someone asks for something"),
    "answers": ("an answer", "a reply is given"),
    "helps": ("help", "someone helps"),
    "warns": ("a warning", "someone gives a warning"),
    "refuses": ("a refusal", "someone says no"),
    "quarrels": ("a quarrel", "people quarrel"),
    "apologises": ("an apology", "someone says sorry"),
    "forgives": ("forgiveness", "someone forgives"),
    "learns": ("practice", "someone is learning"),
    "fails": ("a failure", "an attempt fails"),
    "tries": ("an attempt", "someone tries"),
    "succeeds": ("success", "it works at last"),
    "travels": ("a journey", "someone sets out"),
    "meets": ("a meeting", "someone is met"),
    "arrives": ("an arrival", "someone arrives"),
    "gives": ("a gift", "something is given"),
    "takes": ("a theft", "something is taken"),
    "carries": ("carrying", "something is carried"),
    "breaks": ("damage", "something breaks"),
    "mends": ("a repair", "something is mended"),
    "makes": ("making", "something is made"),
    "hides": ("hiding", "someone or something hides"),
    "tricks": ("a trick", "a trick is played"),
    "discovers": ("a discovery", "a secret comes out"),
    "fears": ("fear", "someone is afraid"),
    "dares": ("courage", "someone is brave"),
    "danger": ("danger", "danger comes near"),
    "rescues": ("a rescue", "someone is saved"),
    "escapes": ("an escape", "someone gets away"),
    "eats": ("a meal", "there is eating or drinking"),
    "celebrates": ("a celebration", "people celebrate"),
    "rests": ("rest", "someone rests or sleeps"),
    "speaks": ("speech", "someone speaks"),
    "promises": ("a promise", "a promise is made"),
    "thanks": ("thanks", "someone gives thanks"),
    "weather": ("the weather", "the weather is described"),
    "plants": ("planting", "something is planted"),
    "grows": ("growth", "something grows"),
    "waits": ("waiting", "someone waits"),
    "competes": ("a contest", "a contest goes on"),
    "wins": ("a victory", "someone wins"),
    "returns": ("a return", "someone comes home"),
    "leaves": ("a farewell", "someone leaves"),
    "plays": ("play", "there is a game"),
    "remembers": ("a memory", "someone remembers"),
    "thinks": ("a thought", "someone has an idea"),
    "feels": ("a feeling", "a feeling is told"),
    "teaches": ("a lesson learnt", "the moral is told"),
    "ends": ("an ending", "the story ends"),
    "explains": ("an explanation", "something is explained"),
    "describes": ("a description", "the scene is described"),
    "greets": ("a greeting", "someone says hello"),
    "writes": ("a letter", "someone writes"),
    "sells": ("a trade", "something is bought or sold"),
}
