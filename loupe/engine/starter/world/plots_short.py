# ruff: noqa: E501 - a template is read best on one line
"""Short documents of the story world: small scenes dense with names and things, letters, diaries, recipes and chats.

The small scenes repeat a name or a thing in nearly every sentence, and the text mostly says who acts next: that is what
a small model learns to carry names and things from.
"""

from __future__ import annotations

from loupe.engine.starter.world.plot import Plot

# Choices that many templates share, written <name> in a template.
FRAGMENTS = {
    "<spot>": "[on the table|under the bed|on the top shelf|behind the door|beside the stove|on the window sill|under the stairs]",
    "<grass>": "[on a flat stone|under a tree|on the wall|in the long grass|behind a bush|on the bench|beside the path]",
    "<how>": "[slowly|at once|with both hands|very gently|without a word|with a little bow|with a big smile]",
    "<when>": "[morning|afternoon|evening|day]",
    "<sight>": "[three geese in a row|a boot full of rain|a door with no house|a stone shaped like an ear|a cloud like a whale"
    "|a web with one leaf in it|a nest with a blue egg|tiny footprints|a sleeping bee|a tree with two trunks|a gate that "
    "sang in the wind|a beetle as big as a thumb|a single red sock|a puddle with the moon in it]",
    "<look>": "[Look|See|Look there|Oh, look]",
    "<yes>": "[Yes|Of course|All right|Very well|Why not]",
}


def _plot(name: str, genre: str, theme: str, *stages: tuple[str, ...], weight: float = 1.0) -> Plot:
    return Plot(name, genre, theme, tuple(tuple(map(_filled, stage)) for stage in stages), weight)


def _filled(template: str) -> str:
    for fragment, choices in FRAGMENTS.items():
        template = template.replace(fragment, choices)
    return template


TURNS = _plot(
    "turns", "mini", "two friends taking turns",
    (
        "{A} had{!owns} {a:O.adj} {O}. {B} had{!owns} {a:X.adj} {X}.",
        "{A} and {B} sat{!describes} {P.at}, {A} with {a:O.adj} {O} and {B} with {a:X.adj} {X}.",
        "The {O.adj} {O} belonged{!owns} to {A}, and the {X.adj} {X} belonged to {B}.",
        "One {W}{!weather} <when>, {A} brought {a:O.adj} {O} {P.to} and {B} brought {a:X.adj} {X}.",
        "{A} the {A.kind} had{!owns} {a:O}, and {B} the {B.kind} had {a:X}.",
        'Two friends met{!meets} {P.at}: {A} with {a:O.adj} {O}, and {B} with {a:X.adj} {X}.',
        '"Let us play{!plays}," said {A}, who had {a:O.adj} {O}. "<yes>," said{!answers} {B}, who had {a:X.adj} {X}.',
    ),
    (
        "First, {A} put{!plays} the {O} <grass>.",
        "{A} began{!plays} and held the {O} [high in the air|up to the light|behind {A.his} back].",
        "{A} went first and carried{!carries} the {O} [round a tree|three times in a circle|all the way to the gate].",
        "It was {A}'s turn{!plays} first, so {A} balanced the {O.adj} {O} on one [finger|foot|knee].",
        "{A} started{!plays} and [tapped|turned|lifted|pushed] the {O} [twice|three times|seven times].",
    ),
    (
        "Then {B} put{!plays} the {X} next to the {O}.{#}",
        "Then it was {B}'s turn{!plays},{#} and {B} turned the {X} [upside down|round and round|on its side].",
        "{B} went next{!plays}{#} and [tapped|turned|lifted|pushed] the {X} [twice|three times|seven times].",
        '"Your turn{!speaks}, {B},"{#} said {A}. {B} held{!plays} the {X} [high in the air|on one knee|behind {B.his} back].',
        "After {A} came{!plays} {B},{#} who carried the {X} [round a tree|along the wall|all the way to the gate].",
    ),
    (
        "Now it was {A}'s turn again{!plays}, and {A} [dropped|spun|shook|hid] the {O}.",
        '"Your turn{!speaks}, {A}," said {B}. So {A} pushed{!plays} the {O} [through a gap in the wall|over a bump|under a leaf].',
        "{A} moved{!plays} the {O} a little closer to the {X}.",
        "Again it was {A}, and {A} hid{!hides} the {O} <grass>.",
        "",
        "",
        "",
    ),
    (
        "Then {B} hid{!hides} the {X} behind the {O}.",
        "After that, {B} threw{!plays} a leaf at the {X} and missed.",
        "Then {B} sang{!plays} a song to the {X}, and {A} sang it to the {O}.",
        "{B} came last{!plays} and put the {X} on top of the {O}.",
        '"Now me{!speaks}," said {B}, and the {X} went on top of the {O}.',
    ),
    (
        "{A} took the {O} home{!returns}, and {B} took the {X} home.",
        "Both were {~happy}{!feels}, {A} with the {O} and {B} with the {X}.",
        '"You win{!wins}, {B}," said {A}. "No, you win{!answers}, {A}," said {B}.',
        "At last {A} fell asleep{!rests} beside the {O}, and {B} fell asleep beside the {X}.",
        "{A} was {~tired}{!feels} and put the {O} away, but {B} still held the {X}.",
    ),
)  # fmt: skip

HANDING_OVER = _plot(
    "handing_over", "mini", "handing something over and back",
    (
        "{A} had{!owns} {a:O.adj} {O}. {B} wanted{!wants} to hold the {O}.",
        '"May I hold the {O}?" {B} asked{!asks} {A}. It was{!describes} {a:O.adj} {O}.',
        "{A} stood{!describes} {P.at} with {a:O.adj} {O}, and {B} stood beside {A}.",
        '"Please hold{!asks} this {O} for me, {B}," said {A}. The {O} was {O.adj}{!describes}.',
        "{B} [liked|loved]{!likes} the {O.adj} {O}, but the {O} was {A}'s.",
        "[Heavy things go|Good things go]{!describes} from hand to hand, and so did the {O.adj} {O} of {A}.",
    ),
    (
        "{A} gave{!gives} the {O} to {B} <how>. Now {B} had{!owns} the {O}.",
        "So {A} handed{!gives} the {O} to {B} <how>, and {B} held it.",
        '"Here you are{!gives}, {B}," said {A}, and {B} took the {O} <how>.',
        "{B} put out both hands, and {A} laid{!gives} the {O} in them.",
        'Then {A} passed{!gives} the {O} to {B}. "[Do not drop it|Hold it well|It is old]{!warns}, {B}," said {A}.',
    ),
    (
        "{B} looked{!describes} at the {O} from [above|below|every side|very near].",
        "{B} [shook|smelled|stroked|weighed]{!plays} the {O} and [laughed|nodded|thought of home|said nothing].",
        "{B} carried{!carries} the {O} {P.to} and back.",
        "{B} danced{!plays} [once|twice] round {A} with the {O}.",
        "{B} counted{!waits} to [ten|twenty|a hundred] with the {O} on {B.his} head.",
    ),
    (
        'Then {B} gave the {O} back{!returns}{#} to {A}. "Thank you{!thanks}, {A}," said {B}.',
        '"[Now|Please] give it back{!asks}, {B}," said {A}. {B} gave{!returns}{#} the {O} back to {A}.',
        "After a while, {B} handed{!returns}{#} the {O} back to {A} <how>.",
        '"Take your {O} back{!returns}{#}, {A}," said {B}, and {A} took the {O}.',
    ),
    (
        "{A} was {~happy}{!feels} to have the {O} again.",
        "{A} held{!carries} the {O}, and {B} held nothing.",
        '"Tomorrow you may have{!promises} the {O} again, {B}," said {A}.',
        '{A} looked{!describes} at the {O}. "It is warm now{!speaks}, {B}," said {A}.',
        "So the {O} was with {A} again{!ends}, and {B} was {~calm}.",
        "{B} was {~grateful}{!feels}, and {A} put the {O} <grass>.",
    ),
)  # fmt: skip

WHERE = _plot(
    "who_is_where", "mini", "where everyone is",
    (
        "{A} was{!describes} {P.at}. {B} was{!describes} {Q.at}.",
        "It was {a:W}{!weather} <when>. {A} was{!describes} {P.at} and {B} was {Q.at}.",
        "{A} lived{!lives} {P.at}, and {B} lived {Q.at}.",
        "While {A} waited{!waits} {P.at}, {B} waited {Q.at}.",
        "{A} the {A.kind} went{!travels} {P.to}. {B} the {B.kind} went{!travels} {Q.to}.",
        '"Where{!asks} is {A}?" asked {C}. "I saw {A}{!answers} {P.at}," said {B}, who was {Q.at}.',
    ),
    (
        "{A} had{!owns} {a:O.adj} {O} with {A.him}, and {B} had {a:X.adj} {X}.",
        "{A} sat{!rests} {P.at} with the {O}. {B} sat{!rests} {Q.at} with the {X}.",
        "There, {P.at}, {A} found{!finds} {a:O.adj} {O}. And {Q.at}, {B} found{!finds} {a:X.adj} {X}.",
        "{A} sang{!plays} {P.at}, and {B} heard nothing {Q.at}.",
    ),
    (
        '"Where is {B}{!asks}?" thought {A}. But {B} was still{!describes} {Q.at}.{#}',
        "{A} looked for{!searches} {B} {P.at}, but {B} was {Q.at}.{#}",
        "{B} called{!speaks} for {A} {Q.at}, but {A} was {P.at}.{#}",
        "{C} went{!searches} {P.to} and saw {A}. Then {C} went{!searches} {Q.to} and saw {B}.{#}",
        '"Is {B} here{!asks}?" asked {C}. "No{!answers}, {B} is {Q.at}," said {A}.{#}',
    ),
    (
        "Then {B} left{!leaves} the {Q} and walked {P.to}. Now {A} and {B} were both{!meets} {P.at}.",
        "So {A} left{!leaves} the {P} and ran {Q.to}. Now {A} and {B} were both{!meets} {Q.at}.",
        "In the end, {A} and {B} met{!meets} half way between the {P} and the {Q}.",
        "In the evening, {A} was{!ends} alone {P.at}, and {B} was alone {Q.at}.",
        "{A} stayed{!ends} {P.at}, and {B} stayed {Q.at}.",
        'At last they met{!meets}. "Here you are{!greets}, {A}!" said {B}. "Here you are{!greets}, {B}!" said {A}.',
    ),
)  # fmt: skip

SMALL_DAY = _plot(
    "small_day", "mini", "a day with a favourite thing",
    (
        "{A} woke up{!describes} and looked for the {O}. There was{!finds} the {O.adj} {O}, <spot>.",
        "{A} was {a:A.trait} {A.kind}{!introduces} with {a:O.adj} {O}.",
        "One {W}{!weather} morning, {A} took the {O} outside.",
        "Every day, {A} [washed|polished|dusted]{!likes} {A.his} {O.adj} {O}.",
        "The {O} was {O.adj}{!describes}, and the {O} was {A}'s.",
        "What did {A} like best{!asks}? {A} liked{!likes} the {O.adj} {O} best.",
    ),
    (
        "{A} had {F} for breakfast{!eats}, with the {O} <spot>.",
        "After breakfast, {A} carried{!carries} the {O} {P.to}.",
        "First {A} [tied a string to|drew a picture of|told a joke to]{!plays} the {O}.",
        '"Good morning{!greets}, {O}," said {A}, but the {O} said nothing.',
        "{A} ate{!eats} some {F} and gave none to the {O}.",
    ),
    (
        "At noon, {A} left{!loses} the {O} {P.at} and had to go back for the {O}.",
        "Then rain came{!weather}, and {A} hid the {O} under {A.his} shirt.",
        "At noon, {A} sat{!rests} {P.at} and put the {O} <grass>.",
        "{A} met{!meets} {B} {P.at}, and {B} admired the {O}.",
        "Later, {A} dropped{!breaks} the {O}, but the {O} did not break.",
        "{A} and the {O} saw{!finds} <sight> {P.at}.",
    ),
    (
        "In the afternoon, {A} practised{!learns} {K.ing} while the {O} lay <grass>.",
        "{A} was {~bored}{!feels} for a while and rolled the {O} up and down.",
        "{A} wrote{!writes} {A.his} name on the {O}: {A}.",
        "{A} thought{!thinks}: nobody has such {a:O.adj} {O}.",
        "",
    ),
    (
        "In the evening, {A} put{!rests} the {O} <spot> and went to bed.{#}",
        "At night, {A} slept{!rests}, and the {O.adj} {O} stood guard.{#}",
        '"It was a good day{!ends}," said {A} to the {O}.{#}',
        "{A} was {~tired}{!feels}, and the {O} was dusty.{#} So ended{!ends} the day of {A}.",
        "{A} came home{!returns} with the {O},{#} {~happy} and a little wet.",
    ),
)  # fmt: skip

WALK = _plot(
    "walk", "mini", "a walk together",
    (
        "{A} and {B} went for a walk{!travels}{#} {P.to}.",
        '"Come for a walk{!asks}{#} with me, {B}," said {A}. So {A} and {B} walked{!travels} {P.to}.',
        "One {W}{!weather} <when>, {A} and {B} walked{#} side by side {P.to}.",
        "Off went{!travels} {a:A.trait} {A.kind} called {A} and {a:B.trait} {B.kind} called {B},{#} all the way {P.to}.",
        "The path {P.to} was long{!describes}, but {A} walked in front and {B} walked behind.{#}",
        "{A} carried{!carries} the {O}, {B} carried the {X}, and together they walked{#} {P.to}.",
    ),
    (
        "{A} saw{!finds} <sight>. {B} saw{!finds} {a:O.adj} {O}.",
        '"<look>, {B}{!speaks}," said {A}. {B} looked{!describes} and saw <sight>.',
        "First {A} stopped{!describes} to listen. Then {B} stopped{!describes} to listen too.",
        "{A} noticed{!finds} <sight>, and {B} noticed <sight>.",
        "{A} jumped{!plays} over a stream, and {B} walked right through it.",
    ),
    (
        '"<look>, {A}{!speaks}," said {B}. {A} turned round{!finds} and saw {a:X.adj} {X}.',
        '"Are you {~tired}{!asks}, {B}?" asked {A}. "No{!answers}, I am {~happy}, {A}," said {B}.',
        "{A} counted{!plays} the birds. {B} counted{!plays} the clouds.",
        '{A} asked{!asks} {B} the way. "We must go left{!answers}, {A}," said {B}.',
        "{B} picked{!gives} a flower for {A}, and {A} thanked {B}.",
    ),
    (
        'At the {P}, {A} sat down{!rests}, and {B} sat down beside {A}.',
        "When {A} and {B} came{!arrives} {P.to}, {A} was {~tired} and {B} was {~happy}.",
        'At last they were{!arrives} {P.at}. "We did it{!speaks}, {A}," said {B}.',
        "Then {A} was {~tired}{!feels}, so {B} and {A} walked home.",
        "Soon {A} and {B} turned back{!returns}, {A} in front and {B} behind.",
        "{B} shared{!eats} some {F} with {A}, and {A} shared a secret with {B}.",
    ),
)  # fmt: skip

SWAP = _plot(
    "swap", "mini", "a swap",
    (
        "{A} had{!owns} {a:O.adj} {O}, and {B} had {a:X.adj} {X}.",
        "{A} was {~bored}{!feels} with the {O}. {B} was {~bored}{!feels} with the {X}.",
        "The {A.kind} {A} had{!owns} {a:O}, and the {B.kind} {B} had {a:X}.",
        "{A} liked{!likes} the {X.adj} {X} of {B}. {B} liked{!likes} the {O.adj} {O} of {A}.",
        '"What do you have{!asks}, {B}?" asked {A}, who had {a:O.adj} {O}. "I have{!answers} {a:X.adj} {X}, {A}," said {B}.',
        "At the {P}, {A} was selling{!sells} {a:O.adj} {O} and {B} was selling {a:X.adj} {X}.",
    ),
    (
        '"Shall we swap{!asks}, {B}?"{#} asked {A}. "<yes>{!answers}, {A}," said {B}.',
        '"I will give you{!asks} my {O} for your {X}, {B}," said {A}.{#} {B} thought about it and nodded{!answers}.',
        '{B} pointed{!asks} at the {O}. "Your {O} for my {X}{!asks}, {A}?"{#} asked {B}.',
        "{A} wanted{!wants} the {X}, and {B} wanted the {O}, so they made a swap.{#}",
    ),
    (
        "{A} gave{!gives} the {O} to {B}, and {B} gave the {X} to {A}.",
        "So {A} held out{!gives} the {O} <how>, and {B} held out the {X}.",
        "{A} took{!sells} the {X} from {B}. {B} took{!sells} the {O} from {A}.",
        "The {O} went{!gives} to {B}, and the {X} went to {A}.",
    ),
    (
        "Now {A} had{!owns} the {X}, and {B} had the {O}.",
        "{A} was {~happy}{!feels} with the {X}. {B} was {~happy}{!feels} with the {O}.",
        'The next day, {B} came back{!returns}. "I miss{!wants} my {X}, {A}," said {B}, and they swapped again.',
        '"What a fine {X}{!speaks}!" said {A}. "What a fine {O}{!answers}!" said {B}.',
        "{A} walked home{!returns} with the {X.adj} {X}, and {B} walked home with the {O.adj} {O}.",
        "{A} looked{!describes} at the {X} all evening, and {B} looked at the {O}.",
        "But {B} was soon {~sad}{!feels} without the {X}, so {A} gave it back.",
    ),
)  # fmt: skip

COOKING = _plot(
    "cooking", "mini", "cooking together",
    (
        "{A} and {B} cooked{!makes}{#} {F} {P.at}.",
        '"I am hungry{!wants}, {B}," said {A}. "Let us make{!answers}{#} some {F}, {A}," said {B}.',
        "{A} wanted{!wants} {F}, so {A} called {B}, and {B} began to cook.{#}",
        "One {W}{!weather} evening, {A} and {B} made{#} a big dish of {F}.",
        "{A} liked{!likes} {F}, and {B} liked {F} even more, so they cooked{#} together.",
        "{A} the {A.kind} could not cook{!fails}, but {B} the {B.kind} could cook.{#}",
        "There was{!describes} some {F} in the house of {A}, and {B} knew how to cook it.{#}",
    ),
    (
        "{A} lit{!makes} the fire, and {B} filled the big pot.",
        "{A} washed{!helps} the bowls. {B} looked for{!searches} the salt.",
        "First, {B} told{!speaks} {A} what to do, and {A} did it.",
        "{A} used{!makes} {a:O.adj} {O} instead of a knife, and {B} laughed at the {O}.",
        "{B} set{!makes} the table, and {A} put {a:O.adj} {O} in the middle.",
        '"What do we need{!asks}, {B}?" asked {A}. "The {F}{!answers} and a pot, {A}," said {B}.',
    ),
    (
        '"More salt{!asks}, {A}," said {B}. {A} put in{!makes} more salt.',
        '"More water{!asks}, {B}," said {A}. {B} poured in{!makes} more water.',
        "{A} stirred{!makes}, and {B} tasted. Then {B} stirred{!makes}, and {A} tasted.",
        '"Is it ready{!asks}, {B}?" asked {A}. "Not yet{!answers}, {A}," said {B}.',
        "{A} burned{!fails} the first pot, so {B} cooked the {F} again.",
        "Then {B} dropped{!breaks} a bowl, and {A} swept the floor.",
        "{A} was {~worried}{!feels} about the {F}, but {B} was {~calm}.",
    ),
    (
        "{A} ate{!eats} one plate of {F}, and {B} ate two.",
        '"This is the best{!speaks} I ever had, {A}," said {B} with a full mouth.',
        "{B} gave{!gives} the last of the {F} to {A}, and {A} was {~grateful}.",
        '"How is it{!asks}, {A}?" asked {B}. "Too hot{!answers}, {B}," said {A}.',
        "{A} and {B} ate{!eats} until {A} was {~tired} and {B} was {~happy}.",
        "When the {F} came{!eats} to the table, {B} sang and {A} clapped.",
        "Then {C} came in{!arrives} and ate all the {F} of {A} and {B}.",
    ),
)  # fmt: skip

DIALOGUE = _plot(
    "short_talk", "mini", "a short talk",
    (
        '"Hello{!greets}, {B}," said {A}. "Hello{!greets}, {A}," said {B}.',
        '"Good <when>{!greets}, {B}," said {A}. "Good <when>{!greets}, {A}," said {B}.',
        '{A} met{!meets} {B} {P.at}. "Is that you{!asks}, {B}?" asked {A}. "It is me{!answers}, {A}," said {B}.',
        '"What are you doing{!asks} {P.at}, {B}?" asked {A}. "[Nothing|Not much|I am waiting for you]{!answers}, {A}," said {B}.',
        'There was a knock{!arrives} at the door. "Who is there{!asks}?" asked {B}. "It is me{!answers}, {A}," said {A}.',
        '"May I ask you something{!asks}, {B}?" said {A}. "<yes>{!answers}, {A}," said {B}.',
        "{A} sat down{!rests} next to {B}. {B} moved a little{!greets} to make room for {A}.",
    ),
    (
        '"Do you have{!asks} my {O}, {B}?"{#} asked {A}. "No{!answers}, I only have {a:X.adj} {X}," said {B}. '
        '"[Shall we look|Will you look]{!asks} for my {O} with me?" asked {A}. "<yes>{!answers}, {A}," said {B}.',
        '"Where is your {O}{!asks}?"{#} {A} asked {B}. "My {O} is{!answers} {Q.at}," said {B}. '
        '"And who looks after it{!asks}?" asked {A}. "My friend {C}{!answers}," said {B}.',
        '"What is that{!asks}?"{#} asked {A}. "That is my {O.adj} {O}{!answers}, {A}," said {B}. '
        '"Is your {O} heavy{!asks}?" asked {A}. "Only{!answers} on [rainy|windy|long] days," said {B}.',
        '"Can you {K}{!asks}?"{#} {A} asked {B}. "[Not yet|Not at all|Only a little]{!answers}," said {B}. '
        '"Then I will teach you{!helps}, {B}," said {A}. "<yes>{!answers}, {A}," said {B}.',
        '"Why are you {~sad}{!asks}, {B}?"{#} asked {A}. "I lost{!loses} my {O.adj} {O}, {A}," said {B}. '
        '"I will help{!helps} you to find the {O}," said {A}. "Thank you{!thanks}, {A}," said {B}.',
        '"I have{!owns} {a:O.adj} {O}," said {A}.{#} "And I have{!owns} {a:X.adj} {X}," said {B}. '
        '"Then we have{!answers} {a:O} and {a:X}," said {A}. "[How rich we are|That is plenty]{!speaks}, {A}," said {B}.',
        '"Have you seen {C}{!asks}?"{#} asked {A}. "I saw {C}{!answers} {P.at} with {a:O.adj} {O}," said {B}. '
        '"What did {C} do{!asks} with the {O}?" asked {A}. "I think {C} [slept on it|sat on it|talked to it]{!answers}," said {B}.',
        '"I am going{!travels} {Q.to}, {B}," said {A}. "Will you come{!asks} with me?"{#} "<yes>{!answers}, {A}," said {B}. '
        '"But I will take{!carries} my {O}." "Good{!answers}, take your {O}, {B}," said {A}.',
    ),
    (
        '"Goodbye{!leaves}, {B}," said {A}. "Goodbye{!leaves}, {A}," said {B}.',
        '"See you tomorrow{!leaves}, {B}," said {A}, and {B} waved.',
        "Then {B} said goodbye{!leaves} to {A}, and {A} went home.",
        "{A} said no more{!ends}, and {B} was {~calm}.",
        '"You are a good friend{!thanks}, {A}," said {B}, and {A} was {~happy}.',
        '"I must go now{!leaves}, {A}," said {B}. {A} waved{!leaves} for a long time.',
        "After that, {A} and {B} sat{!rests} side by side and listened to the rain.",
    ),
)  # fmt: skip

LOST = _plot(
    "lost_and_found", "mini", "a lost thing found by a friend",
    (
        "{A} had lost{!loses} {A.his} {O.adj} {O}.",
        '"My {O} is gone{!loses}!" said {A}. It was{!describes} {a:O.adj} {O}.',
        "{A} the {A.kind} looked{!searches} everywhere for the {O.adj} {O}.",
        "One {W}{!weather} <when>, the {O} of {A} was gone.",
        "Where was{!asks} the {O.adj} {O}? {A} had left it{!loses} somewhere.",
    ),
    (
        '"Have you seen{!asks} my {O}, {B}?" asked {A}. "No{!answers}, {A}," said {B}.{#}',
        "{A} asked{!asks} {B}, and {B} looked <spot>.{#}",
        '"Please help me{!asks}, {B}," said {A}. {B} helped{!helps} {A} at once.{#}',
        "{A} was {~sad}{!feels}, so {B} came to help {A}.{#}",
        '"Why are you {~worried}{!asks}, {A}?" asked {B}. "I cannot find{!answers}{#} my {O}, {B}," said {A}.',
    ),
    (
        "{A} searched{!searches} {P.at}, and {B} searched {Q.at}.",
        "{A} looked{!searches} <grass>, but the {O} was not there.",
        "{B} found{!finds} {a:X.adj} {X}, but {A} did not want the {X}.",
        '"Is this it{!asks}?" asked {B}. "No{!answers}, that is {a:X}, {B}," said {A}.',
        "",
    ),
    (
        "Then {B} found{!finds} the {O} <spot>.",
        '"I have found it{!finds}, {A}!" cried {B}. It was{!describes} <grass>.',
        "The {O} was{!finds} {P.at}, and it was {B} who saw it.",
        '"<look>, {A}," said {B}. "Your {O} is here{!finds}."',
        "{B} looked{!finds} <spot>, and there was the {O}.",
    ),
    (
        "{B} gave{!gives} the {O} to {A}, and {A} was {~happy}.",
        '"Thank you{!thanks}, {B}," said {A}, and held the {O} tight.',
        "{A} hugged{!thanks} {B} and then the {O}.",
        "{A} was {~grateful}{!feels} to {B} and never lost the {O} again.",
        '"Never again{!promises} will I lose the {O}," {A} told {B}.',
    ),
)  # fmt: skip

GIFT = _plot(
    "gift", "mini", "a gift",
    (
        "It was{!celebrates} the birthday of {B}. {A} had{!owns} {a:O.adj} {O} for {B}.",
        "{A} made{!makes} {a:O.adj} {O} for {B}.",
        "{A} bought{!sells} {a:O.adj} {O} {P.at}. The {O} was{!gives} for {B}.",
        '"What does {B} want{!asks}?" {A} asked {C}. "Maybe {a:O.adj} {O}{!answers}," said {C}.',
        "{B} was {~sad}{!feels}, so {A} looked for a gift for {B}. {A} chose{!gives} {a:O.adj} {O}.",
        "All week, {A} hid{!hides} {a:O.adj} {O} <spot>, for it was a gift for {B}.",
    ),
    (
        "{A} went{!travels} {Q.to}, where {B} was waiting.",
        "{A} wrapped{!makes} the {O} in [paper|leaves|an old sock|a blue cloth] and wrote {B} on it.",
        "{A} carried{!carries} the {O} all the way to {B}.",
        "{A} hid{!hides} the {O} behind {A.his} back and called {B}.",
        '"Close your eyes{!asks}, {B}," said {A}. {B} closed{!waits} both eyes.',
    ),
    (
        '"This is for you{!gives}, {B},"{#} said {A}. "For me{!asks}, {A}?" asked {B}.',
        "{A} gave{!gives}{#} the {O} to {B} <how>.",
        '"Guess what it is{!asks}, {B},"{#} said {A}. "Is it{!answers} {a:X}?" asked {B}. "No{!answers}, it is {a:O}," said {A}.',
        "{B} looked up{!discovers}{#} and saw the {O.adj} {O} in {A}'s hands.",
    ),
    (
        '"Thank you{!thanks}, {A}," said {B}. {B} was{!feels} {~happy}.',
        "{B} held{!carries} the {O} all day and thought of {A}.",
        "{B} was {~surprised}{!feels} and hugged {A} and the {O}.",
        '"It is just what I wanted{!thanks}, {A}," said {B}, and put the {O} <spot>.',
        "The next day, {B} gave{!gives} {A} {a:X.adj} {X}, and now {A} was {~happy} too.",
        "{B} already had{!owns} {a:O}, but {B} did not tell {A}.",
    ),
)  # fmt: skip

HIDING = _plot(
    "hide_and_seek", "mini", "hide and seek",
    (
        "{A} and {B} played{!plays} hide and seek{#} {P.at}. {B} hid{!hides} first and took the {O.adj} {O} along.",
        '"You hide{!plays}, {B}, and I will count," said {A}.{#} {B} hid{!hides} with {a:O.adj} {O}.',
        "{B} hid{!hides} <grass> with the {O}, and {A} counted to [ten|twenty|fifty].{#}",
        "It was {B}'s turn{!plays} to hide, and {A}'s turn to look.{#} {B} took{!hides} the {O} along.",
        '"Ready or not{!plays}, I am coming, {B}!"{#} called {A}. {B} sat very still{!hides} with the {O.adj} {O}.',
        "{B} had{!owns} {a:O.adj} {O} and a very good place{#} to hide from {A}.",
    ),
    (
        "{A} looked{!searches} <grass>, but {B} was not there.",
        "{A} found{!finds} {a:X.adj} {X}, but not {B}.",
        '"Where are you{!asks}, {B}?" called {A}. {B} did not answer{!hides}.',
        "{A} asked{!asks} {C}, but {C} had not seen {B}.",
        "{B} held{!hides} the {O} tight, and {A} walked right past {B}.",
        "{A} thought{!thinks} of {B} and looked for big feet.",
    ),
    (
        "Then {B} sneezed{!discovers}, and {A} heard {B}.",
        "But one [foot|ear|elbow] of {B} was showing{!discovers}, and {A} saw it.",
        "The {O} fell{!discovers} from {B}'s hand, and {A} turned round.",
        "{B} began to laugh{!discovers}, and {A} came closer.",
        "{A} saw{!discovers} the {O}, and behind the {O} was {B}.",
    ),
    (
        '"I see you{!finds}, {B}," said {A}. "Oh no{!answers}, {A}," said {B}.',
        '"I have found{!finds} you, {B}!" cried {A}.',
        '"I know{!finds} that {O}," said {A}. "Come out{!asks}, {B}!"',
        "{A} pulled{!finds} {B} out by the [sleeve|hand|ear].",
    ),
    (
        "Now {B} had to count{!plays}, and {A} had to hide.",
        '"My turn{!plays}," said {B}, and {A} ran off to hide.',
        "{B} counted{!plays} to ten, and {A} hid with the {O}.",
        "{A} was {~happy}{!feels}, and {B} wanted to play again.",
        "{B} was {~angry}{!feels}, but {A} shared some {F} with {B}.",
        "{B} gave{!gives} the {O} to {A}, because {A} had won.",
    ),
)  # fmt: skip

QUESTIONS = _plot(
    "questions", "mini", "questions about who has what",
    (
        "{A} had{!owns} {a:O.adj} {O}. {B} had{!owns} {a:X.adj} {X}.",
        "{A} found{!finds} {a:O.adj} {O} {P.at}. {B} found{!finds} {a:X.adj} {X} {Q.at}.",
        "{A} was {a:A.trait} {A.kind}{!introduces} with {a:O}. {B} was {a:B.trait} {B.kind}{!introduces} with {a:X}.",
        "{A} carried{!carries} {a:O.adj} {O}, and {B} carried {a:X.adj} {X}.",
        "{A} wanted{!wants} the {O}, and {B} wanted the {X}. {A} took{!owns} the {O}, and {B} took the {X}.",
    ),
    (
        "{A} put{!describes} the {O} <spot>. {B} put{!describes} the {X} <spot>.",
        "{A} [washed|cleaned|painted]{!describes} the {O}, and {B} [washed|cleaned|painted] the {X}.",
        "{A} was {~happy}{!feels} with the {O}, but {B} was {~sad} with the {X}.",
        "The {O} was {O.adj}{!describes}, and the {X} was {X.adj}.",
        "",
    ),
    (
        "Who had{!asks} the {O}? {A} had{!answers} the {O}.{#} Who had{!asks} the {X}? {B} had{!answers} the {X}.",
        "Who had{!asks} the {X}? {B} had{!answers} the {X}.{#} Who had{!asks} the {O}? {A} had{!answers} the {O}.",
        "What did {A} have{!asks}? {A} had{!answers} the {O}.{#} What did {B} have{!asks}? {B} had{!answers} the {X}.",
        "What did {B} have{!asks}? {B} had{!answers} the {X}.{#} What did {A} have{!asks}? {A} had{!answers} the {O}.",
        '"Whose {O} is this{!asks}?" asked {C}. "It is{!answers} the {O} of {A}," said {B}.{#}',
        '"Whose {X} is this{!asks}?" asked {C}. "It is{!answers} the {X} of {B}," said {A}.{#}',
        'Did {A} have{!asks} the {X}? No{!answers}, {A} had the {O}, and {B} had the {X}.{#}',
    ),
)  # fmt: skip

PASSING_ON = _plot(
    "passing_on", "mini", "a thing that goes from friend to friend",
    (
        "{A} had{!owns} {a:O.adj} {O}, and {B} and {C} had nothing.",
        "{A}, {B} and {C} sat{!describes} {P.at} with one {O.adj} {O}. {A} had{!owns} the {O} first.",
        "One {W}{!weather} <when>, {A} brought {a:O.adj} {O} to {B} and {C}.",
        "The {O} was {O.adj}{!describes}, and {A}, {B} and {C} all wanted to hold the {O}.",
        "{A} found{!finds} {a:O.adj} {O} {P.at} and showed it to {B} and {C}.",
    ),
    (
        "{A} gave{!gives} the {O} to {B}. {B} gave{!gives} the {O} to {C}.{#}",
        "First, {A} passed{!gives} the {O} to {B}, and {B} passed it to {C}.{#}",
        '"Take it{!gives}, {B}," said {A}. "Now you{!gives}, {C}," said {B}.{#}',
        "From {A}, the {O} went{!gives} to {B}, and from {B} it went to {C}.{#}",
    ),
    (
        "{C} held{!carries} the {O} for a long time and gave it to {A}.",
        "{C} threw{!plays} the {O} up and caught it. Then {C} gave{!gives} the {O} to {A}.",
        "{C} dropped{!breaks} the {O}, and {A} picked it up.",
        '"It is cold{!speaks}," said {C}, and handed the {O} to {A}.',
        '{C} did not let go{!refuses} of the {O}. "Please{!asks}, {C}," said {A}, and {C} gave the {O} back.',
    ),
    (
        "So the {O} came back{!returns} to {A}.",
        "Now {A} had{!owns} the {O} again, and {B} and {C} clapped.",
        "{A} was {~happy}{!feels}, {B} was {~calm}, and {C} was {~jealous}.",
        '"Once more{!asks}, {A}," said {B}, and {A} gave the {O} to {B}.',
        "{A} put{!ends} the {O} <grass>, and {B} and {C} went home.",
    ),
)  # fmt: skip

TEACHING = _plot(
    "teaching", "mini", "one friend teaching another",
    (
        "{A} could {K}{!describes}, but {B} could not {K}.",
        '"Teach me{!asks} to {K}, {A}," said {B}. "<yes>{!answers}, {B}," said {A}.',
        "{B} wanted{!wants} to {K} like {A}.",
        "{A} was{!introduces} {a:A.trait} {A.kind} who could {K}. {B} was{!introduces} {a:B.trait} {B.kind} who could not.",
        "Every <when>, {A} practised{!learns} {K.ing} {P.at}, and {B} watched {A}.",
        "{B} was {~jealous}{!feels}, because {A} could {K} so well.",
    ),
    (
        '"Watch me{!learns}, {B},"{#} said {A}. {B} watched{!learns} every move.',
        "So {A} showed{!helps}{#} {B} how to begin.",
        "{A} taught{!helps}{#} {B} the first step, and {B} wrote it down.",
        '"Now you{!asks}, {B},"{#} said {A}. "I am {~afraid}{!answers}, {A}," said {B}.',
        "{A} gave{!gives} {B} {a:O.adj} {O} for luck, and they began{#} to practise.",
    ),
    (
        "{B} tried{!tries}, but {B} fell over.",
        "{B} tried{!tries} it with {a:O.adj} {O} in one hand, and {A} had to laugh.",
        "First {B} failed{!fails}. Then {B} failed{!fails} again.",
        '"It is too hard{!fails}, {A}," said {B}. "Only today{!answers}, {B}," said {A}.',
        "{B} was {~tired}{!feels}, but {A} said: once more.",
    ),
    (
        "At last {B} could {K}{!succeeds}, and {A} clapped.",
        "In the end, {B} {K.past}{!succeeds} as well as {A}.",
        '"<look>, {A}, I can {K}{!succeeds}!" cried {B}. "I see it{!answers}, {B}," said {A}.',
        "The next day, {A} and {B} {K.past}{!succeeds} together {P.at}.",
        "{B} still could not {K}{!fails}, but {B} was {~happy}, and so was {A}.",
        '"Thank you{!thanks}, {A}," said {B}. Now{!teaches} {B} could teach {C}.',
    ),
)  # fmt: skip

MINIS = (
    TURNS, HANDING_OVER, WHERE, SMALL_DAY, WALK, SWAP, COOKING, DIALOGUE, LOST, GIFT, HIDING, QUESTIONS, PASSING_ON, TEACHING,
)  # fmt: skip

NEWS = _plot(
    "letter_of_news", "letter", "news for a friend",
    (
        "Dear {B}, I am writing{!writes} to you {P.at}.",
        "Dear {B}, it is {a:W}{!weather} <when> here, and I have time to write.",
        "Dear {B}, how are you{!asks}? I am {~happy}{!feels} here.",
        "My dear {B}, at last I have paper{!writes} and a quiet hour.",
        "Dear {B}, I have so much to tell{!writes} you that I hardly know where to begin.",
        "Dear {B}, this is your old friend {A}{!writes}, with ink on both thumbs.",
    ),
    (
        "Yesterday I found{!finds}{#} {a:O.adj} {O} {P.at}. The {O} was{!describes} [half in the mud|all alone|covered in leaves].",
        "I have{!owns}{#} {a:O.adj} {O} now, {B}. The {O} sleeps{!describes} <spot>.",
        "Last week I lost{!loses}{#} my {O.adj} {O}, {B}. I looked{!searches} for the {O} {P.at}, but it was gone.",
        "Since Monday I have been learning{!learns}{#} {K.ing}. {C} teaches{!helps} me, and {C} never laughs.",
        "I have met{!meets}{#} {C}, {a:C.trait} {C.kind}. {C} has{!owns} {a:O.adj} {O} and lets me use it.",
        "There was a storm{!weather}{#}, and the wind took my {O}. {C} found{!finds} the {O} {P.at}.",
    ),
    (
        "Yesterday {C} and I made{!makes} {F}, and {C} ate most of the {F}.",
        "You would like{!likes} the {P}, {B}.",
        "Do you still have{!asks} your {X.adj} {X}, {B}?",
        "At night I hear{!describes} the wind, and then I am a little {~homesick}.",
        "{C} says hello{!greets} and sends you some {F}.",
        "Every morning I walk{!travels} {P.to} and back.",
    ),
    (
        "I think{!thinks} of you, {B}, whenever I see {a:X}.",
        "Please write{!asks} soon and tell me about your {X}.",
        "I miss{!feels} you, {B}.",
        "Come{!asks} and see me, {B}, and bring your {X}.",
        "I hope{!wants} that you are well and that your {X} is safe.",
        "When I come home{!promises}, {B}, we will eat {F} together.",
    ),
    ("With love,{!ends} {A}", "With much love,{!ends} {A}", "Your friend,{!ends} {A}", "Many hugs,{!ends} {A}"),
)  # fmt: skip

THANKS = _plot(
    "letter_of_thanks", "letter", "thanks for a gift",
    (
        "Dear {B}, thank you{!thanks}{#} for the {O.adj} {O}.",
        "Dear {B}, the {O} is here{!arrives}! Thank you{!thanks}{#} so much, {B}.",
        "Dear {B}, this morning the postman brought{!arrives} {a:O.adj} {O}. I knew at once{!thanks}{#} that it was from you.",
        "My dear {B}, how did you know{!asks} that I wanted {a:O}? It is just the right gift{!thanks}{#}.",
        "Dear {B}, I am {~grateful}{!thanks} for your gift,{#} the {O.adj} {O}.",
    ),
    (
        "I was {~surprised}{!feels} when I saw the {O}.",
        "The {O} is even more beautiful{!describes} than my old one.",
        "I have never had{!owns} such {a:O.adj} {O}.",
        "I put{!describes} the {O} <spot>, where everyone can see it.",
        "{C} wanted{!wants} to hold the {O} first, but I said no.",
    ),
    (
        "Yesterday I took{!carries} the {O} {P.to}, and {C} was {~jealous}.",
        "{C} asked{!asks} me who gave me the {O}, and I said: {B}.",
        "I have already used{!plays} the {O} three times, twice in the rain.",
        "At night the {O} stands{!rests} next to my bed.",
        "Only once did I drop{!breaks} the {O}, and it did not break.",
        "When I was {~sad}{!feels} on Sunday, I looked at the {O} and thought of you.",
    ),
    (
        "Now I am making{!makes} something for you, {B}, but I will not say what.",
        "Soon I will send{!gives} you {a:X.adj} {X}, {B}.",
        "Please come{!asks} and see the {O} in its new home, {B}.",
        "You are{!thanks} a good friend, {B}.",
        "I promise{!promises} to take care of the {O}, {B}.",
    ),
    ("With love,{!ends} {A}", "With love and thanks,{!ends} {A}", "Your friend,{!ends} {A}", "Yours,{!ends} {A}"),
)  # fmt: skip

SORRY = _plot(
    "letter_of_apology", "letter", "saying sorry",
    (
        "Dear {B}, I am {~sorry}{!apologises}.",
        "Dear {B}, I must tell you{!apologises} something, and it is not easy to write.",
        "Dear {B}, please read{!asks} this to the end before you are {~angry}.",
        "Dear {B}, do you remember{!asks} your {O.adj} {O}? I have bad news{!apologises}.",
        "Dear {B}, I could not sleep{!feels} last night, so I am writing to you.",
    ),
    (
        "It was I who broke{!breaks} your {O}, {B}.{#}",
        "I took{!takes} your {O} {P.to} without asking, {B}, and there I lost it.{#}",
        "Your {O.adj} {O} fell{!breaks} from my hands {P.at}, {B}.{#}",
        "I told you{!tricks}, {B}, that {C} had your {O}, but I had it all the time.{#}",
        "I quarrelled{!quarrels} with you about the {O}, {B}, and I was wrong.{#}",
    ),
    (
        "{C} saw it{!discovers} and said that I should write to you.",
        "At first I told{!hides} nobody and was {~afraid}.",
        "I was {~sorry}{!feels} as soon as I got home.",
        "I looked{!searches} for you {P.at}, but you had gone.",
        "",
    ),
    (
        "Please forgive{!apologises} me, {B}.",
        "I am {~sorry}{!apologises}, {B}, and I will not do it again.",
        "Can you forgive{!apologises} me, {B}?",
        "Will you still be{!asks} my friend, {B}?",
    ),
    (
        "I will give{!gives} you my {X.adj} {X}, if you want it.",
        "Tomorrow I will bring{!promises} you {F} and my {X}.",
        "{C} and I will do{!promises} all we can to make it good again.",
        "You may have{!gives} my {X} as long as you like.",
    ),
    ("With love,{!ends} {A}", "Your friend, I hope,{!ends} {A}", "Your {~sorry} friend,{!ends} {A}"),
)  # fmt: skip

GOOD_DAY_DIARY = _plot(
    "diary_of_a_good_day", "diary", "a day with a friend",
    (
        "Dear diary, today was {a:W}{!weather} day.",
        "Dear diary, my name is {A}{!introduces}, and this is my day.",
        "This is the diary of {A}{!introduces}. Today I woke up{!describes} early.",
        "Monday. Dear diary, I slept{!rests} badly and got up before the sun.",
        "Dear diary, I have{!writes} only a little ink, so I will be short.",
        "Sunday, late. Dear diary, you will not believe{!writes} what happened today.",
    ),
    (
        "In the morning I went{!travels} {P.to} with my {O}.",
        "{B} came{!arrives} to my door with {a:O.adj} {O}.",
        "I met{!meets} {B} {P.at}. {B} had{!owns} {a:O.adj} {O}.",
        "{B} called{!speaks} me from the street and held up {a:O.adj} {O}.",
        "After breakfast I carried{!carries} my {O.adj} {O} {P.to}, and there was {B}.",
    ),
    (
        "{B} and I played{!plays}{#} with the {O} until noon.",
        "{B} and I practised{!learns}{#} {K.ing} all day.",
        "{B} and I carried{!carries}{#} the {O} through the whole village.",
        "{B} and I hid{!hides}{#} the {O} <grass> and then forgot where it was. It was {B} who found{!finds} the {O}.",
        "I taught{!helps} {B} a song,{#} and {B} sang it to the {O}.",
    ),
    (
        "Then {B} fell{!fails} into a puddle, and I had to laugh.",
        "At noon {B} and I ate{!eats} {F}.",
        "{B} told{!speaks} me a secret, but I will not write it here.",
        "I was {~happy}{!feels}, and I think that {B} was {~happy} too.",
        "On the way home, {B} and I saw{!finds} <sight>.",
        "",
    ),
    (
        "Now I am {~tired}{!feels}. Good night{!ends}, diary.",
        "{B} is{!rests} asleep by now, and the {O} is <spot>.",
        "Tomorrow I will go{!promises} to see {B} again.",
        "The {O} is{!describes} next to me while I write. Good night{!ends}.",
        "I hope{!wants} that {B} sleeps well.",
    ),
)  # fmt: skip

BAD_DAY_DIARY = _plot(
    "diary_of_a_bad_day", "diary", "a bad day",
    (
        "Dear diary, today I am {~sad}{!feels}.{#}",
        "Dear diary, this was not a good day{!describes}.{#}",
        "Dear diary, why does everything happen{!asks} to me?{#}",
        "Friday. It was {W}{!weather}, and the day was bad{#} from the start.",
        "This is the diary of {A}{!introduces}. I am {~angry}{!feels} with {B},{#} and I will tell you why.",
    ),
    (
        "In the morning I lost{!loses} my {O.adj} {O} {P.at}.",
        "The wind took{!loses} my {O.adj} {O} {P.at}, and {B} did not help me.",
        "{B} took{!takes} my {O} and did not ask.",
        "{B} and I quarrelled{!quarrels} about the {O.adj} {O}.",
        "I forgot{!loses} my {O} {P.at}, and when I came back, {B} had it.",
    ),
    (
        '"It is only {a:O}{!speaks}," said {B}, but I love that {O}.',
        "I told{!speaks} {B} about the {O}, and {B} laughed at me.",
        "I cried{!feels} a little, and {B} saw it.",
        "Then it began to rain{!weather}, and there was no {F} left at home.",
        "I thought{!thinks} of the {O} until I was {~tired}.",
    ),
    (
        "In the evening {B} came{!arrives} with some {F} and was {~sorry}.",
        "At last {B} said sorry{!apologises} to me, and I said sorry to {B}.",
        "Later {C} spoke{!helps} to {B}, and now the {O} is mine again.",
        "In the end, {B} brought{!returns} the {O} back to me.",
        "I have not forgiven{!refuses} {B} yet. Perhaps tomorrow{!thinks}.",
    ),
    (
        "Good night{!ends}, diary. Tomorrow will be better{!thinks}.",
        "Now I am {~calm}{!feels} again.",
        "I blew out the light{!rests} and thought of the {O}.",
        "Still, {B} is{!ends} my friend.",
        "Tomorrow I will speak{!promises} to {B}.",
    ),
)  # fmt: skip

RECIPE = _plot(
    "recipe", "recipe", "how to make a dish",
    (
        "How to make{!explains}{#} a dish of {F} as {A} makes it.",
        "This is{!explains}{#} the way {A} the {A.kind} makes a dish of {F}.",
        "For a good dish of {F} you need{!explains}{#} a pot, a fire and some time.",
        "{A} taught me{!explains}{#} how to make a dish of {F}.",
        "Do you like{!asks} {F}? Here is how to make{!explains}{#} a dish of {F} for [two|four|six].",
    ),
    (
        "First, wash{!explains} your hands and [your ears|the table|the big pot].",
        "First, put{!makes} some water in a pot and light the fire.",
        "First, take{!makes} the biggest bowl you have.",
        "First, call{!asks} a friend to help you.",
    ),
    (
        "Then pour in{!makes} some milk and a little salt.",
        "Then take{!makes} the {F} and add a little salt.",
        "Next, cut{!makes} an onion and try not to cry.",
        "Next, stir{!makes} [slowly|for a long time|to the left, never to the right].",
        "Then add{!makes} butter, as {A} always does.",
    ),
    (
        "Wait{!waits} until it smells good.",
        "Now wait{!waits} as long as it takes to sing [two songs|one long song].",
        "Do not let it burn{!warns}, for {A} never does.",
        "If it is too thick{!explains}, add some water. If it is too thin{!explains}, wait.",
        "Taste it{!eats}, but only once. {A} always tastes{!eats} it twice.",
    ),
    (
        "Now eat{!eats} the {F}, but blow on it first.",
        "Give{!gives} the first plate to a friend. {A} gives{!gives} it to {B}.",
        "{B} likes{!likes} {F} best with butter.",
        "Now call{!eats} {B} to the table and eat the {F} together.",
        "The {F} will be{!ends} even better the next day, says {A}.",
    ),
)  # fmt: skip

THING_RECIPE = _plot(
    "making_a_thing", "recipe", "how to make a thing",
    (
        "How to make{!explains}{#} {a:O}, by {A} the {A.kind}.",
        "{A} knows how to make{!explains}{#} {a:O.adj} {O}, and this is how.",
        "Anyone can make{!explains}{#} {a:O}, says {A}.",
        "Do you want{!asks} {a:O}? {A} will tell you how to make{!explains}{#} {a:O}.",
    ),
    (
        "First, draw{!makes} the {O} on paper.",
        "First, ask{!asks} someone who has {a:O} to show it to you.",
        "First, find{!finds} [some wood and a string|an old shirt|clay and a stick|paper and glue].",
        "First, sit down{!thinks} and think about the {O}.",
    ),
    (
        "Then cut{!makes}, fold and glue until it looks like {a:O}.",
        "Then work{!makes} slowly. {A} needs{!waits} [two days|a week|one long winter] for one {O}.",
        "Next, ask{!asks} {B} to hold it while you work.",
        "Next, make{!makes} the {O} a little bigger than you need.",
        "If it breaks{!breaks}, begin again. {A} broke{!breaks} seven before the first good {O}.",
    ),
    (
        "Let the {O} dry{!waits} <spot>.",
        "Paint{!makes} the {O} in any colour you like.",
        "Now wait{!waits} a day and a night, and do not touch the {O}.",
        "Try{!tries} the {O} {P.at}, where nobody can see you.",
    ),
    (
        "Now you have{!succeeds} {a:O} of your own.",
        "Write{!writes} your name on the {O}, as {A} does.",
        "{A} gave{!gives} the first {O} to {B}. To whom will you give{!asks} yours?",
        "The {O} of {A} is still{!ends} {P.at}.",
    ),
)  # fmt: skip

ASKING_FOR_A_STORY = (
    "{user} [Tell me|Please tell me|Can you tell me] a story about {a:A.kind} called {A} [and|with] {a:O.adj} {O}.{!asks}{assistant}",
    "{user} [Please write|Write] a [short|little] story about {A} the {A.kind} and {A.his} {O}.{!asks}{assistant}",
    "{user} I would like a story{!asks}. It should be about {A}, {a:A.trait} {A.kind} with {a:O}.{assistant}",
    "{user} Do you know a story{!asks} about {a:A.kind} named {A} who had {a:O}?{assistant}",
    "{user} Tell me a [bedtime |funny |short |]story about {a:A.trait} {A.kind} called {A}.{!asks}{assistant}",
    "{user} Hello! Please tell me a story{!asks} with {A}, {B} and {a:O.adj} {O}.{assistant}",
    "{user} I cannot sleep. Tell me a story{!asks} about {a:A.kind} called {A}, please.{assistant}",
    "{user} A story, please{!asks}, about {A} and {B} and {a:O}.{assistant}",
)

ASKING_FOR_MORE = (
    "{user} [Thank you|Thanks]{!thanks}! [That was good|I like {A}|I liked the end].{assistant} [You are welcome{!answers}|I like {A} too{!answers}]. "
    "Good night{!leaves}!",
    "{user} Who had the {O}{!asks} in the end?{assistant} {A} had{!answers} the {O} in the end.",
    "{user} What was the name{!asks} of the {A.kind}?{assistant} The {A.kind} was called{!answers} {A}.",
    "{user} Who helped{!asks} {A}?{assistant} It was{!answers} {B} who helped {A}.",
    "",
    "",
    "",
    "",
)

STORY_OF_A_LOSS = _plot(
    "story_of_a_loss", "chat", "a lost thing",
    ASKING_FOR_A_STORY,
    (
        "{A} was{!introduces} {a:A.trait} {A.kind} who lived {P.at}. {A} had{!owns} {a:O.adj} {O}.",
        "There was once{!introduces} {a:A.kind} called {A}. More than anything, {A} loved{!likes} {A.his} {O.adj} {O}.",
        "{A} the {A.kind} never went out without{!owns} the {O.adj} {O}.",
        "Once upon a time, {a:A.trait} {A.kind} named {A} lived{!lives} {P.at} with {a:O.adj} {O}.",
        "One {W}{!weather} <when>, {A} took the {O.adj} {O} {P.to}.",
    ),
    (
        "But one day, the {O} was gone{!loses}.{#} {A.He} looked{!searches} for it <spot> and <grass>.",
        "Then the wind came and took{!loses} the {O}.{#} {A} was {~sad}{!feels}.",
        "On the way home, {A} lost{!loses} the {O}{#} and did not see it fall.",
        "{A} put down the {O} for a moment, and then could not find{!loses} it.{#}",
    ),
    (
        '{A} asked{!asks} {B} the {B.kind}. "I have not seen{!answers} your {O}, {A}," said {B}, "but I will help you."',
        "{A} met{!meets} {B}, {a:B.trait} {B.kind}. {B} promised{!helps} to look for the {O} too.",
        "{B} heard{!meets} {A} cry and came at once. Together {A} and {B} looked{!searches} {Q.at}.",
        '"Why are you {~sad}{!asks}, {A}?" asked {B}. "My {O} is gone{!answers}, {B}," said {A}.',
    ),
    (
        "At last {B} found{!finds} the {O} <grass>.",
        "And there, {Q.at}, {B} saw{!finds} the {O.adj} {O}.",
        "It was {B} who found{!finds} it {Q.at}, wet but not broken.",
        "Then {B} pulled{!finds} the {O} out of a hole in the ground.",
    ),
    (
        "{A} was {~happy}{!feels} and shared {A.his} {F} with {B}.",
        "{A} thanked{!thanks} {B}, and from that day on they were friends.",
        "From then on, {A} tied{!ends} a string to the {O}. And {B} came{!ends} to visit every day.",
        "{A} hugged{!thanks} the {O}, and then {A} hugged {B}.",
    ),
    ASKING_FOR_MORE,
)  # fmt: skip

STORY_OF_A_SKILL = _plot(
    "story_of_a_skill", "chat", "learning something new",
    (
        "{user} [Tell me|Please tell me|Can you tell me] a story about {a:A.kind} called {A} who wants to {K}.{!asks}{assistant}",
        "{user} [Please write|Write] a [short|little] story about {A} the {A.kind} and {A.his} friend {B}.{!asks}{assistant}",
        "{user} Do you know a story{!asks} about {a:A.trait} {A.kind} named {A}?{assistant}",
        "{user} Tell me a [bedtime |funny |short |]story about {A} and {B}.{!asks}{assistant}",
        "{user} Can {a:A.kind} {K}{!asks}? Tell me a story about it.{assistant}",
        "{user} I would like a story{!asks} about {K.ing}. The {A.kind} should be called {A}.{assistant}",
    ),
    (
        "{A} was{!introduces} {a:A.trait} {A.kind} who could not {K}.{#} But {A} wanted{!wants} to {K} very much.",
        "Once there was{!introduces} {a:A.kind} called {A}. {A.He} dreamed{!wants} of {K.ing}{#} every night.",
        "{A} the {A.kind} lived{!lives} {P.at}. Everyone there could {K}{!describes}, but {A} could not.{#}",
        "Every morning, {A} watched the others and wanted{!wants} to {K} too.{#}",
    ),
    (
        "{A} tried{!tries} on Monday and fell on {A.his} nose.",
        "{A} tried{!tries} alone, but it went wrong{!fails}, and {A} was {~sad}.",
        '"I will never {K}{!fails}," said {A}, and was {~sad}.',
        "The first time, {A} was {~afraid}{!fears} and ran home.",
    ),
    (
        'Then {B} the {B.kind} came{!meets} by. "I will show you{!helps} how to {K}, {A}," said {B}.',
        "{A} asked{!asks} {B}, {a:B.trait} {B.kind}, for help. So {B} and {A} practised{!learns} {K.ing} {P.at}.",
        "{B} gave{!gives} {A} {a:O.adj} {O} for luck. With the {O} in one hand, {A} was no longer {~afraid}{!dares}.",
        '"You are too fast{!helps}, {A}," said {B}. So {A} tried{!learns} it slowly, and {B} counted.',
    ),
    (
        "One {W}{!weather} day, {A} {K.past} for the first time, and {B} clapped.",
        "At last, {A} could {K}{!succeeds}. {B} was {~surprised}{!feels}.",
        "After seven days, {A} {K.past}{!succeeds} better than {B}.",
        'Suddenly it worked{!succeeds}. "<look>, {B}, I can {K}{!speaks}!" cried {A}.',
    ),
    (
        "{A} was {~happy}{!feels}, and {B} was {~happy} for {A}.",
        "{A} learned{!teaches} that it is good to try again, and {B} learned to wait.",
        "That evening, {A} and {B} ate{!eats} {F} and talked about {K.ing}.",
        "Now {A} teaches{!ends} everyone who wants to {K}.",
    ),
    (
        "{user} Who taught{!asks} {A}?{assistant} {B} taught{!answers} {A}.",
        "{user} What did {A} learn{!asks}?{assistant} {A} learned{!answers} to {K}.",
        "{user} [Thank you|Thanks]{!thanks}, that was a good story.{assistant} You are welcome{!answers}. Now go and {K}{!asks}!",
        "",
        "",
        "",
    ),
)  # fmt: skip

STORY_OF_A_GIFT = _plot(
    "story_of_a_gift", "chat", "a gift",
    ASKING_FOR_A_STORY,
    (
        "{A} had{!owns} {a:O.adj} {O}, and {A.his} friend {B} had nothing.",
        "{A} was{!introduces} {a:A.trait} {A.kind}, and {B} was {a:B.trait} {B.kind}. {A} owned{!owns} {a:O.adj} {O}.",
        "Every day, {A} the {A.kind} sat{!describes} {P.at} with {a:O.adj} {O}, and {B} sat beside {A}.",
        "It was{!celebrates} the birthday of {B}. {A} the {A.kind} had{!owns} nothing but {a:O.adj} {O}.",
    ),
    (
        "{B} was {~sad}{!feels} that day, and {A} saw it.",
        'One {W}{!weather} <when>, {B} looked at the {O} and said nothing.',
        '"What a fine {O}{!wants}, {A}," said {B}. {A} thought{!thinks} about it all night.',
        '{A} asked{!asks} {C} what to do. "Give it{!answers} to {B}," said {C}.',
    ),
    (
        "So {A} gave{!gives}{#} the {O} to {B} <how>.",
        '"It is yours now{!gives}, {B},"{#} said {A}, and put the {O} in {B}\'s hands.',
        "In the morning, {B} found{!gives} the {O} at the door,{#} and with it a note from {A}.",
        "{A} wrapped{!gives} the {O} in blue paper and laid{#} it in front of {B}.",
    ),
    (
        "{B} was {~surprised}{!feels} and held the {O} tight.",
        '"For me{!asks}, {A}?" asked {B}. "For you{!answers}, {B}," said {A}.',
        "{B} ran{!plays} three times round the {P} with the {O}.",
        "{B} laughed{!thanks} and hugged {A}.",
    ),
    (
        "Later, {B} made{!makes} {a:X.adj} {X} for {A}, and then both had something.",
        "Now the {O} belonged{!owns} to {B}, but {A} could use it every day.",
        "{A} had{!teaches} no {O} any more, but {A} had a friend.",
        "And so {A} was {~happy}{!feels}, and {B} was {~happy} too.",
    ),
    (
        "{user} Who has the {O} now{!asks}?{assistant} {B} has the {O} now{!answers}. It was{!answers} a gift from {A}.",
        "{user} What did {A} give{!asks} to {B}?{assistant} {A} gave{!answers} {B} the {O}.",
        "{user} [Thank you|Thanks]{!thanks}, I like {A}.{assistant} I like {A} too{!answers}. And I like{!likes} {B}.",
        "",
        "",
        "",
    ),
)  # fmt: skip

MY_NAME = _plot(
    "my_name", "chat", "remembering what was told",
    (
        "{user} Hello, my name is {A}{!introduces}, and I have {a:O.adj} {O}.{assistant} Hello, {A}{!greets}! What do you do{!asks} with your {O}?",
        "{user} Hi! I am {A}{!introduces}. This is{!owns} my {O}.{assistant} Hi, {A}{!greets}! That is a fine {O}{!speaks}.",
        "{user} I am {A}{!introduces}. My friend is called {B}{!introduces}, and {B} has {a:O.adj} {O}.{assistant} Good <when>, {A}{!greets}! "
        "I would like{!wants} to see the {O} of {B}.",
        "{user} Good <when>{!greets}. They call me {A}{!introduces}.{assistant} Good <when>, {A}{!greets}. What do you have{!asks} there?{user} "
        "It is{!answers} {a:O.adj} {O}.{assistant} I see{!speaks}, {a:O}!",
        "{user} Guess what I found{!asks}!{assistant} What did you find{!asks}?{user} I found{!finds} {a:O.adj} {O}. And my name is {A}{!introduces}."
        "{assistant} What luck, {A}{!speaks}! I have never found{!speaks} {a:O}.",
        "{user} Do you have a name{!asks}? My name is {A}{!introduces}.{assistant} I have no name, {A}{!answers}, but I like yours.{user} "
        "I have{!owns} {a:O}.{assistant} And I have no {O}{!answers}.",
    ),
    (
        "{user} I take{!carries} the {O} {P.to} every day.{assistant} Then the {O} must know{!answers} the {P} well.",
        "{user} The {O} is{!describes} <spot>.{assistant} That is a good place{!answers} for {a:O}, {A}.",
        "{user} I am {~happy}{!feels} today.{assistant} That is good{!answers}, {A}. Is it because{!asks} of the {O}?{user} Yes{!answers}, because of the {O}."
        "{assistant} Then it is a good {O}{!answers}.",
        "{user} Today it is {W}{!weather}.{assistant} Then keep the {O} [at home|near you|under a roof]{!answers}, {A}.",
        "{user} I like{!likes} {F}.{assistant} I have heard much good{!answers} of {F}, {A}.",
        "{user} I can {K}{!describes}.{assistant} How good, {A}{!answers}! Is {K.ing} hard{!asks}?{user} No{!answers}, it is easy.{assistant} "
        "Then you must teach{!asks} me one day, {A}.",
        "",
    ),
    (
        "{user} [Do you remember|Do you still know] my name{!asks}?{assistant} [Yes, your|Your] name is{!answers} {A}.{#}",
        "{user} What is my name{!asks}?{assistant} Your name is{!answers} {A}.{#}",
        "{user} Who am I{!asks}?{assistant} You are{!answers} {A}.{#}",
        "{user} What did I tell you about{!asks}?{assistant} You told me about{!answers} the {O}.{#} And your name is{!answers} {A}.",
        "{user} Say something about me{!asks}.{assistant} You are called{!answers} {A},{#} and you told me of {a:O}.",
    ),
    (
        "{user} And what was the thing{!asks}?{assistant} It was{!answers} {a:O}, {A}.",
        "{user} Goodbye{!leaves}!{assistant} Goodbye, {A}{!leaves}! Take{!leaves} good care of the {O}.",
        "{user} Right{!speaks}! Now I must go{!leaves}.{assistant} See you soon{!leaves}, {A}.",
        "{user} Thank you{!thanks}.{assistant} You are welcome{!answers}, {A}.",
        "{user} I will write a story{!writes} about the {O}.{assistant} Call it{!answers}: {A} and the {O}.",
        "",
    ),
)  # fmt: skip

COMFORT = _plot(
    "comfort", "chat", "comforting someone",
    (
        "{user} I am {~sad}{!feels}. I have lost{!loses} my {O.adj} {O}.{assistant} That is hard{!helps}.{#} Where did you last see{!asks} "
        "the {O}?{user} I think it was{!answers} {P.at}.{assistant} Then go back{!answers} {P.to} and look <grass>. Take{!helps} a friend with you.",
        "{user} I feel {~sad}{!feels}. My friend {B} has gone{!leaves} away.{assistant} You miss {B}{!helps}.{#} [Write {B} a letter|Draw something "
        "for {B}|Think of a day with {B}]{!helps}, and {B} will be nearer.",
        "{user} I am {~worried}{!feels}. Tomorrow I must {K}{!fears} in front of everyone.{assistant} Many people are {~worried}{!helps}{#} before "
        "{K.ing}. Breathe slowly{!helps}, begin, and it will soon be over.",
        "{user} I am {~afraid}{!feels} of the storm.{assistant} A storm is loud, but it will pass{!helps}.{#} Stay{!helps} in the house and hold "
        "your {O} until it is over.{user} I have{!owns} no {O}.{assistant} Then hold{!answers} {a:X}.",
        "{user} {B} is {~angry}{!feels} with me, because I broke{!breaks} the {O}.{assistant} Everyone breaks something one day{!helps}.{#} "
        "Tell {B}{!helps} that you are {~sorry} and help to mend the {O}.",
        "{user} I am {~homesick}{!feels}. I miss{!feels} the {P} and my friend {B}.{assistant} It is good to have a place{!helps}{#} that one can "
        "miss. Tell me{!asks} about the {P}.{user} {B} and I ate{!remembers} {F} there.{assistant} Then eat{!helps} some {F} and think of {B}.",
        "{user} I am so {~angry}{!feels}! {B} took{!takes} my {O}.{assistant} Then it is no wonder{!helps}{#} that you are {~angry}. Count{!helps} to "
        "ten and then ask {B} for the {O}.",
        "{user} I am {~jealous}{!feels}. {B} has{!owns} {a:O.adj} {O}, and I have only {a:X}.{assistant} I understand{!helps}.{#} But perhaps {B} "
        "looks{!helps} at your {X} and is {~jealous} too.",
        "{user} I am {~tired}{!feels}, and nothing goes right. Even my {O} broke{!breaks}.{assistant} Some days are like that{!helps}.{#} Leave{!helps} "
        "the {O} <spot> and sleep. Tomorrow you can mend{!helps} it.",
        "{user} I tried to {K}{!tries}, and everyone laughed. Now I am {~sad}{!feels}.{assistant} That hurts{!helps}.{#} But nobody could {K}{!helps} on the "
        "first day. Try{!helps} again tomorrow.",
    ),
    (
        "{user} [Thank you|Thanks]{!thanks}. Now I am {~calm}{!feels}.{assistant} I am {~happy}{!feels} to hear it.",
        "{user} And if it does not help{!asks}?{assistant} Then come back{!answers}, and we will talk again.",
        "{user} You are good to me{!thanks}.{assistant} You are not alone{!answers}. Good <when>{!leaves}!",
        "{user} I will try{!promises}.{assistant} That is all{!answers} anyone can do.",
        "{user} Will it be better tomorrow{!asks}?{assistant} I think so{!answers}. Sleep{!rests} well.",
        "",
        "",
    ),
)  # fmt: skip

ADVICE = _plot(
    "advice", "chat", "asking for advice",
    (
        "{user} How can I learn to {K}{!asks}?{assistant} Begin{!explains} with a little every day.{#} Find{!explains} someone who can {K} and watch.",
        "{user} What can I give{!asks} to my friend {B}?{assistant} What does {B} like{!asks}?{user} {B} likes{!answers} {F}.{assistant} "
        "Then give{!answers}{#} {B} some {F}, and with it {a:O.adj} {O}.",
        "{user} It is {W}{!weather} today. What shall I take{!asks} {P.to}?{assistant} Take{!answers}{#} your {O} and something to eat. "
        "And go home{!answers} before dark.",
        "{user} {B} wants{!wants} my {O}. What should I do{!asks}?{assistant} Is the {O} dear{!asks} to you?{user} [Yes, very|A little|Not much]{!answers}.{assistant} "
        "Then lend{!answers}{#} the {O} to {B} for one day and see what happens.",
        "{user} I broke{!breaks} the {O} of {B}. What should I do{!asks}?{assistant} Go{!answers}{#} to {B} and say what happened. "
        "Then mend{!answers} the {O} together.",
        "{user} {B} and I quarrelled{!quarrels} about {a:O}. Who should say sorry{!asks} first?{assistant} The one who wants{!answers}{#} to play again first. "
        "Take{!answers} the {O} to {B} and smile.",
        "{user} What can I cook{!asks} today? I have{!owns} only {F}.{assistant} Then cook{!answers}{#} the {F} with a little salt. Call{!answers} {B}, and "
        "eat it together.",
        "{user} Where should I hide{!asks} my {O}?{assistant} Hide{!answers}{#} the {O} <spot>. Nobody looks{!answers} there.{user} {B} looks{!speaks} "
        "everywhere.{assistant} Then give{!answers} the {O} to {B}.",
        "{user} My name is {A}{!introduces}, and I am {~bored}{!feels}.{assistant} Take{!answers} your {O} {P.to}, {A},{#} and look for <sight>.",
        "{user} I have found{!finds} {a:O.adj} {O} {P.at}. May I keep{!asks} it?{assistant} First ask{!answers}{#} whose {O} it is. If nobody wants{!answers} "
        "the {O}, you may keep it.",
        "{user} How do I find{!asks} a friend?{assistant} Go{!answers} {P.to} and say hello.{#} Show{!answers} your {O} and ask for a name.{user} And then{!asks}?"
        "{assistant} Then play{!answers} together.",
    ),
    (
        "{user} [Thank you|Thanks]{!thanks}, I will do that.{assistant} [Good luck|Tell me how it went]{!answers}!",
        "{user} Is there another way{!asks}?{assistant} There is always{!answers} another way. But this one is{!answers} short.",
        "{user} Are you sure{!asks}?{assistant} [Not quite|Nearly|Quite sure]{!answers}. Try{!answers} it and see.",
        "{user} What would {C} do{!asks}?{assistant} I do not know{!answers} {C}. Ask{!answers} {C}!",
        "{user} That sounds easy{!speaks}.{assistant} Easy things are{!answers} often the best.",
        "",
        "",
    ),
)  # fmt: skip

# What things are, said simply: a topic, what it is, and two or three things that are true of it.
FACTS = {
    "a harbour": ("a place by the sea where ships are safe", "The water in a harbour is quiet", "Sailors load and unload their ships there"),
    "a forest": ("a large piece of land full of trees", "Many animals live in a forest", "It is cool and dark under the trees"),
    "a hill": ("a piece of land that is higher than the land around it", "A hill is lower than a mountain", "From a hill you can see far"),
    "a river": ("water that flows over the land to the sea or a lake", "Many fish live in a river", "A river begins small and grows wide"),
    "a market": ("a place where people buy and sell things", "You can buy food at a market", "A market is often loud and full of people"),
    "a garden": ("a place where people grow plants and flowers", "Plants in a garden need water and light", "Bees come to the flowers"),
    "a castle": ("a large old house with thick walls and towers", "Kings and knights lived in castles long ago", "Its walls are made of stone"),
    "a village": ("a small group of houses where people live", "A village is smaller than a town", "In a village, people often know each other"),
    "a beach": ("land beside the sea, covered in sand or small stones", "Waves come up the beach again and again", "Many people like to swim there"),
    "an island": ("land with water all around it", "You need a ship or a bridge to get to it", "Some islands are very small"),
    "a cave": ("a large hole in a rock or a hill", "It is dark in a cave", "Bats often sleep in caves"),
    "a mountain": ("a very high piece of land", "It is cold at the top of a high mountain", "Snow can lie there even in summer"),
    "a meadow": ("a field of grass and flowers", "Cows and sheep can eat the grass", "In summer many bees fly over a meadow"),
    "a mill": ("a house where corn is ground into flour", "Wind or water can turn a mill", "Bread is made from the flour"),
    "a tower": ("a tall and narrow building", "You climb many stairs to the top", "From a tower you can see far"),
    "a bridge": ("a way over a river, a road or a valley", "A bridge can be made of wood, stone or iron", "Without it, you would need to swim"),
    "a lake": ("water with land all around it", "A lake is larger than a pond", "Fish and birds live in and on a lake"),
    "a school": ("a place where children learn", "Children learn to read and write at school", "Teachers work there"),
    "a library": ("a house full of things to read", "You may take something home and bring it back", "It is quiet in a library"),
    "a desert": ("a dry land where it hardly ever rains", "Few plants grow in a desert", "It is hot by day and often cold at night"),
    "a lighthouse": ("a tower with a bright light by the sea", "The light shows ships the way", "It shines at night and in fog"),
    "a bakery": ("a place where bread and cakes are made", "Bakers start to work at night", "A bakery smells of warm bread"),
    "a swamp": ("wet land with soft ground", "Frogs like to live in a swamp", "It is easy to get wet feet there"),
    "a well": ("a deep hole in the ground with water in it", "People pull the water up with a rope", "Well water is cool"),
    "rain": ("water that falls from the clouds in drops", "Plants need rain to grow", "After rain, the ground is wet"),
    "snow": ("frozen water that falls from the clouds in white flakes", "Snow is cold and soft", "When it gets warm, snow turns into water"),
    "wind": ("air that moves", "You cannot see the wind, but you can feel it", "Wind can fill a sail and turn a mill"),
    "fog": ("a cloud that lies on the ground", "In fog you cannot see far", "Ships must go slowly in fog"),
    "frost": ("a thin layer of ice on cold things", "Frost comes in cold and clear nights", "The sun can melt it in the morning"),
    "a cloud": ("many tiny drops of water high in the air", "Rain and snow fall from clouds", "A cloud can hide the sun"),
    "a storm": ("bad weather with strong wind", "In a storm there is often rain", "It is best to stay in the house until it is over"),
    "the sun": ("a star, the one that gives us light", "The sun is very hot and very far away", "It rises in the east and sets in the west"),
    "the moon": ("a ball of rock that goes round the earth", "The moon does not make its own light", "It shines because the sun shines on it"),
    "ice": ("water that is frozen", "Ice is cold, hard and smooth", "Ice swims on water"),
    "a fox": ("a wild animal with red fur and a thick tail", "A fox hunts mice", "Foxes often go out at night"),
    "an owl": ("a bird that hunts at night", "An owl can turn its head very far", "It flies almost without a sound"),
    "a bear": ("a big and strong animal with thick fur", "Many bears sleep through the winter", "Bears like to eat berries, fish and honey"),
    "a rabbit": ("a small animal with long ears", "Rabbits eat grass and other plants", "They live in holes in the ground"),
    "a hedgehog": ("a small animal covered in spines", "A hedgehog rolls into a ball when it is in danger", "It sleeps in winter"),
    "a mouse": ("a very small animal with a long tail", "A mouse can get through a tiny hole", "Cats and owls hunt mice"),
    "a badger": ("an animal with a black and white face", "A badger digs long tunnels", "It comes out at night"),
    "an otter": ("an animal that swims very well", "An otter eats fish", "It lives by rivers and by the sea"),
    "a crow": ("a big black bird", "Crows are clever", "Some crows use sticks as tools"),
    "a deer": ("an animal that lives in the forest and eats plants", "A male deer often has antlers", "Deer can run fast"),
    "a frog": ("a small animal that lives in water and on land", "A frog can jump far", "Young frogs live in water and have tails"),
    "a goat": ("an animal with horns that eats grass and leaves", "Goats can climb very well", "They give milk"),
    "a penguin": ("a bird that cannot fly but swims very well", "Most penguins live in the cold south", "A penguin eats fish"),
    "a squirrel": ("a small animal with a thick tail that lives in trees", "Squirrels eat nuts and seeds", "They hide nuts for the winter"),
    "a turtle": ("an animal with a hard shell", "Turtles walk slowly", "Some turtles live for a very long time"),
    "a wolf": ("a wild animal that looks like a big dog", "Wolves live and hunt in groups", "They can hear and smell very well"),
    "a snail": ("a small, slow animal with a shell", "A snail can hide in its shell", "Snails come out when it rains"),
    "a heron": ("a tall bird with long legs", "A heron stands in water and waits for fish", "It can stand still for a long time"),
    "a beaver": ("an animal with strong teeth and a flat tail", "Beavers can cut down trees with their teeth", "They build dams in rivers"),
    "a donkey": ("an animal with long ears that looks like a small horse", "A donkey can carry heavy things", "Donkeys eat grass"),
    "a cat": ("an animal with soft fur that often lives with people", "Cats hunt mice", "A cat sleeps for a large part of the day"),
    "a dog": ("an animal that often lives with people", "Dogs can smell very well", "A dog can guard a house"),
    "a baker": ("someone who makes bread and cakes", "A baker gets up very early", "Bakers work with flour, water and fire"),
    "a shepherd": ("someone who looks after sheep", "A shepherd often has a dog", "The dog keeps the sheep together"),
    "a lantern": ("a light that you can carry", "A lantern helps you to see in the dark", "Its glass keeps the wind away from the flame"),
    "a compass": ("a small thing that shows where north is", "Sailors use a compass at sea", "Its needle always turns to the north"),
    "a telescope": ("a tube with glass that makes far things look near", "You can see the moon better with a telescope", "Captains use one at sea"),
    "a kite": ("a toy that flies in the wind on a long string", "Without wind, a kite stays on the ground", "You must hold the string tight"),
    "honey": ("a sweet food made by bees", "Bees make honey from flowers", "Bears like honey"),
    "bread": ("a food made of flour and water", "Bread is baked in a hot oven", "Fresh bread smells good"),
    "cheese": ("a food made of milk", "Cheese can be soft or hard", "Some cheese is very old"),
    "soup": ("a warm food that you eat with a spoon", "Soup is cooked in a pot", "It is good on cold days"),
}  # fmt: skip


def _answer(topic: str, what: str, first: str, second: str) -> str:
    """One question about a topic and a true answer of one to three sentences."""
    asking = f"[What is {topic}{{!asks}}?|Tell me what {topic} is{{!asks}}.|Do you know what {topic} is{{!asks}}?]"
    saying = f"[{topic.capitalize()} is|It is]{{!explains}} {what}.{{#}}"
    more = f"[ {first}{{!explains}}.| {second}{{!explains}}.| {first}{{!explains}}. {second}{{!explains}}.]"
    return f"{{user}} {asking}{{assistant}} {saying}{more}"


def _statement(topic: str, what: str, first: str, second: str) -> str:
    """The same facts as plain prose."""
    more = f"[{first}{{!explains}}.|{second}{{!explains}}.|{first}{{!explains}}. {second}{{!explains}}.]"
    return f"{topic.capitalize()} is{{!explains}} {what}.{{#}} {more}"


WHAT_IT_IS = _plot(
    "what_it_is", "facts", "what something is",
    tuple(_answer(topic, *facts) for topic, facts in FACTS.items()),
    (*(_answer(topic, *facts).replace("{#}", "") for topic, facts in FACTS.items()), *[""] * len(FACTS)),
    (
        "{user} [Thank you|Thanks]{!thanks}!{assistant} [You are welcome|Ask me more]{!answers}!",
        "{user} How do you know{!asks} that?{assistant} I have read{!answers} about it.",
        "{user} I will tell{!speaks} my friend {A}.{assistant} Good{!answers}! Perhaps {A} knows{!answers} even more.",
        "",
        "",
        "",
    ),
)  # fmt: skip

HOW_THINGS_ARE = _plot(
    "how_things_are", "facts", "simple facts",
    (
        "{A} wanted{!wants} to know everything. This is what {A} wrote down{!writes}.",
        "Here are two things{!explains} that everyone should know.",
        'Every evening, {A} asked{!asks} {B} questions, and {B} answered.',
        "On a wall {P.at} you can read{!explains} about the world.",
        "",
        "",
    ),
    tuple(_statement(topic, *facts) for topic, facts in FACTS.items()),
    tuple(_statement(topic, *facts).replace("{#}", "") for topic, facts in FACTS.items()),
    (
        "{A} read{!ends} it twice and was {~happy}.",
        "That is all{!ends} for today.",
        "Who would have thought it{!ends}?",
        "{A} did not know{!discovers} that before.",
        "",
        "",
    ),
)  # fmt: skip

PLOTS: tuple[Plot, ...] = (
    *MINIS, NEWS, THANKS, SORRY, GOOD_DAY_DIARY, BAD_DAY_DIARY, RECIPE, THING_RECIPE,
    STORY_OF_A_LOSS, STORY_OF_A_SKILL, STORY_OF_A_GIFT, MY_NAME, COMFORT, ADVICE, WHAT_IT_IS, HOW_THINGS_ARE,
)  # fmt: skip
