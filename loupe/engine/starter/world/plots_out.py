"""Stories that happen out in the world: searches, storms, journeys, contests and rescues."""

from __future__ import annotations

from loupe.engine.starter.world.plot import Plot

PLOTS: tuple[Plot, ...] = (
    Plot(
        name="lost_and_searched",
        genre="story",
        theme="a lost thing and the search for it",
        stages=(
            (
                (
                    "One {W} morning, {a:A.trait} {A.kind} named {A}{!introduces} woke up {P.at} with a song "
                    "in {A.his} head."
                ),
                "Nothing in the whole world was dearer{!likes} to {A} the {A.kind} than {A.his} {O.adj} {O}.",
                (
                    "Everyone {P.at} knew{!introduces} {A}, {a:A.trait} {A.kind} who never went anywhere "
                    "without {A.his} {O.adj} {O}."
                ),
                (
                    "There was once {a:O.adj} {O} that belonged{!owns} to {A}, {a:A.trait} {A.kind}. It had a "
                    "scratch on one side{!describes} in the shape of a fish."
                ),
                '"Nobody move!" shouted{!speaks} {A} the {A.kind}, so loudly that three pigeons fell off the roof.',
                (
                    "Have you ever owned{!owns} something so dear that you said good night to it? That was how "
                    "it was with {A} the {A.kind}{!introduces} and {A.his} {O.adj} {O}."
                ),
                "Breakfast was on the table{!describes}, but {A} the {A.kind} did not touch the {F}.",
            ),
            (
                "But that day the {O.adj} {O} was [gone|missing|not there]{!loses}.",
                "Somewhere between the door and the gate, the {O.adj} {O} had [vanished|disappeared]{!loses}.",
                "{A} reached for the {O.adj} {O} and found only [dust|a cold spoon|an empty place]{!loses}.",
                (
                    "The {O.adj} {O} was not on its shelf{!loses}. A small grey spider was sitting{!describes} "
                    "there instead."
                ),
                "Then {A.he} noticed that the {O.adj} {O} was nowhere{!loses} to be seen.",
            ),
            (
                (
                    "{A} [looked|searched]{!searches}{#} under the bed, behind the stove and inside both "
                    "boots, but there was no {O}."
                ),
                (
                    "All morning {A.he} hunted{!searches}{#} for the {O}, in the flour, in the woodpile and "
                    "even in the soup pot."
                ),
                (
                    "{A.He} turned the whole house upside down{!searches}{#}. Out came{!finds} six socks and a "
                    "very old biscuit, but no {O}."
                ),
                "{A} crawled along the path, peering{!searches}{#} under every leaf for the {O}.",
                "So {A.he} made a list of every place to look{!searches}{#}, and the list was longer than the table.",
            ),
            (
                "Poor {A} felt {~worried}{!feels}, and [dinner|lunch] stayed on the plate.",
                "By noon {A.he} was so {~sad}{!feels} that even the clouds seemed to stop and stare.",
                "{A} sat down on a stone and felt {~sad}{!feels}.",
                '"It will be found," said{!speaks} {A}, who was still {~hopeful}.',
                "{A} kicked a stone all the way down the lane{!leaves}, feeling {~angry}.",
                "",
            ),
            (
                "[By the gate|On the road|At the corner], {A} [met|ran into]{!meets} {B}, {a:B.trait} {B.kind}.",
                "Just then {B} the {B.kind} [came|strolled]{!arrives} by with a basket of {F}.",
                (
                    "A neighbour named {B}, {a:B.trait} {B.kind}, [put down a spoon and came|hurried "
                    "over]{!arrives} to see what the fuss was about."
                ),
                "Along the road came{!arrives} {B} the {B.kind}, humming.",
            ),
            (
                '"When did you have it last?" asked{!asks} {B}.',
                (
                    '"Close your eyes and think back," {B} advised{!helps}. So {A} closed both eyes and '
                    "remembered{!remembers} the day before, step by step."
                ),
                '"I saw something {O.adj} {P.at}," said{!answers} {B}, "but I took it for a mushroom."',
                "{B} offered{!helps} to help, and the two of them looked together.",
                '"Two can look better than one," said{!helps} {B}, and put on some very thick glasses.',
                "{B} shook with laughter{!feels} and pointed at a bird's nest in the nearest tree.",
            ),
            (
                "They [went|walked]{!travels} {P.to}, calling for the {O} as if it could answer.",
                "Side by side, {A} and {B} [followed|traced]{!searches} every footprint of the day before.",
                "{A} remembered{!remembers} a nap under a hedge, and off they ran.",
                "The trail led them{!travels} past a sleeping cow and over a muddy ditch.",
            ),
            (
                "And there it [was|lay]{!finds}! The {O.adj} {O} was keeping{!describes} a family of ladybirds dry.",
                '"I see it!" cried{!finds} {A}, and pulled the {O} out of a rabbit hole.',
                "In a clump of nettles {B} spotted{!finds} the {O.adj} {O}, wet but safe.",
                "Then {A} looked up and saw{!finds} the {O.adj} {O}, exactly where {A.he} had left it.",
                "At last {B} [found|spied]{!finds} the {O} under a heap of leaves, with a snail asleep on it.",
            ),
            (
                "{A} hugged{!thanks} {B} first and the {O} second.",
                "{A} was so {~happy}{!feels} that {A.he} danced with {B} until the cows stared.",
                '"Thank you, {B}," said{!thanks} {A}, who felt very {~grateful}.',
                "From then on, {A} tied a long string{!ends} to the {O.adj} {O}.",
                "That evening {A} and {B} ate{!eats} {F} together, with the {O} between them on the table.",
                '"What is lost likes to be looked for," said{!teaches} {B}, and {A} never forgot it.',
            ),
        ),
    ),
    Plot(
        name="storm_at_sea",
        genre="story",
        theme="a storm at sea",
        stages=(
            (
                (
                    "Far from land, a small ship named the Blue Goose was [sailing|rocking]{!travels} through "
                    "the night. Its captain was {A}{!introduces}, {a:A.trait} {A.kind}."
                ),
                '"There is something wrong with that sky," said{!warns} {A} the {A.kind}, looking out over the sea.',
                "The sea was as flat as a plate{!describes} when {A} and {B} sailed away from the shore.",
                (
                    "Somewhere on the wide green sea sailed{!introduces} {a:A.trait} {A.kind} named {A}, who "
                    "could tell the time by the stars."
                ),
                (
                    "Two friends, {A} the {A.kind} and {B} the {B.kind}, were [rowing|sailing]{!travels} home "
                    "with a sack of {F}."
                ),
                (
                    "On the third day at sea, {A} the {A.kind} counted{!describes} nine gulls, and all of them "
                    "were flying the wrong way."
                ),
                (
                    "Have you ever heard the wind [sing|whistle]{!weather}? {A} the {A.kind} "
                    "heard{!introduces} it one evening, far out at sea."
                ),
            ),
            (
                (
                    "With {A} on board was{!introduces} {B}, {a:B.trait} {B.kind} who [peeled potatoes|told "
                    "jokes to the fish|counted the waves]. Next to {B} stood{!describes} {a:O.adj} {O}."
                ),
                "{B} the {B.kind} was asleep{!rests} on a pile of sails, next to {a:O.adj} {O}.",
                "Down below, {B} the {B.kind} was cooking{!makes} {F} and singing to the {O.adj} {O}.",
                "{B} the {B.kind} was guarding{!carries} {a:O.adj} {O}, a present for somebody {P.at}.",
                "{B}, who was {a:B.trait} {B.kind}, kept one eye{!describes} on {a:O.adj} {O} and one on the waves.",
            ),
            (
                "Then the clouds turned black, and the first thunder [rolled|cracked]{!danger}{#}.",
                "All at once a storm [broke|came down]{!danger}{#}, and waves as high as houses rose around them.",
                "The wind began to howl{!weather}{#} and tore the biggest sail from top to bottom.",
                "Out of nowhere came a storm{!danger}{#} so wild that fish flew over the deck.",
                "Rain fell like nails{!weather}{#}, and the ship climbed up one wave and slid down the next.",
            ),
            (
                '"Hold on tight!" shouted{!warns} {A}.',
                "{B} was {~afraid}{!feels} and crept under a bench.",
                '"I want to go home!" wailed{!fears} {B}, who was {~afraid}.',
                "Both of them were {~afraid}{!feels}, but {A} gripped the wheel and did not let go.",
                "{A} tied {B} to the mast{!helps} with a double knot, so that the sea could not have {B.him}.",
            ),
            (
                "A great wave [swept|snatched]{!loses} the {O.adj} {O} off the deck.",
                "Crack went the mast{!breaks}. It knocked the {O.adj} {O} right into the sea{!loses}.",
                "Water poured{!danger} over the deck and carried off the {O.adj} {O}.",
                "The {O} slid from one side to the other, and splash, it was gone{!loses}.",
                "The lamp went out{!danger}. In the dark the {O.adj} {O} fell{!loses} into the water.",
            ),
            (
                '"Quick, {B}, throw everything heavy over the side!" called{!asks} {A}, and over went the potatoes.',
                "{A} had an idea{!thinks} and turned the ship straight into the waves.",
                "Bravely {B} crawled{!dares} out across the slippery deck and saved the sail.",
                "All night long {A} steered{!dares} and {B} emptied the water with a soup pot.",
                "{A} sang{!dares} an old song louder than the thunder, and {B} sang the silly parts.",
            ),
            (
                "Towards morning the wind [dropped|fell asleep]{!weather}, and the sea lay down like an old dog.",
                "At dawn the storm rolled away{!weather}, and a thin yellow line of sun appeared.",
                "Then, as suddenly as it had come, the storm was over{!escapes}.",
                "When the sun came up{!weather}, there was not a cloud left in the sky.",
            ),
            (
                '"Look, land!" cried{!discovers} {B}, and under the cliffs bobbed the {O.adj} {O}.',
                (
                    "The waves carried them{!arrives} gently to a beach full of pink crabs. One of them was "
                    "sitting{!finds} on the {O.adj} {O}."
                ),
                "{B} leaned over the side and saw{!finds} the {O.adj} {O} floating by, with a gull on top.",
                (
                    "Wet and {~tired}, {A} and {B} steered{!returns} for home, and the {O.adj} {O} was there "
                    "to greet them on the sand."
                ),
                "Some singing fishermen towed{!rescues} them to land. In their net was{!finds} the {O.adj} {O}.",
            ),
            (
                "{B} kissed the sand{!feels} and felt {~grateful}.",
                '"Next time we shall walk," said{!ends} {B}, and {A} laughed until the ship shook.',
                "That night {A} and {B} slept{!rests} for fourteen hours.",
                "The {O} still smells of salt{!ends}, and {A} would not change that for gold.",
                '{A} felt {~calm}{!feels} at last, and wrote only one word in the ship\'s book: "Windy."',
                '"You were the bravest of all, {B}," said{!thanks} {A}, and gave {B.him} the {O.adj} {O}.',
            ),
        ),
    ),
    Plot(
        name="treasure_hunt",
        genre="story",
        theme="a treasure and the map that leads to it",
        stages=(
            (
                "Between the pages of an old cookbook, {A} the {A.kind} found{!finds} a piece of yellow paper.",
                (
                    "One {W} afternoon, a bottle rolled{!arrives} up to the door of {A}, {a:A.trait} {A.kind}. "
                    "There was a paper inside{!discovers}."
                ),
                (
                    '"Can you keep a secret?" whispered{!asks} {A} the {A.kind}. "I have found{!finds} an old '
                    'paper in the chimney."'
                ),
                "When {A} the {A.kind} swept the loft, an old paper fluttered{!finds} down from the beams.",
                (
                    "A hen was chewing{!describes} on an old piece of paper. Just in time {A}, {a:A.trait} "
                    "{A.kind}, pulled{!takes} it away."
                ),
                (
                    "Under a loose board in the floor, {A} the {A.kind}, who was looking for a spoon, "
                    "found{!finds} a folded paper."
                ),
                (
                    "The wind brought{!weather} all kinds of things to {A} the {A.kind}, but never before had "
                    "it brought a paper with a red seal."
                ),
            ),
            (
                "It was a treasure map{!discovers}{#}, and a big X showed where to dig.",
                'On the paper somebody had drawn a tree, a path and the word "gold"{!discovers}{#}.',
                '"A treasure map!" cried{!discovers}{#} {A}, and felt very {~excited}.',
                "The paper was a map{!discovers}{#}, with [tiny arrows|little black footprints] leading {P.to}.",
                "In crooked letters the paper said that a treasure was buried{!discovers}{#} {P.at}.",
            ),
            (
                "{A} ran to fetch{!asks} {B}, {a:B.trait} {B.kind} who could read maps upside down.",
                "At once {A} showed{!gives} it to {B}, {a:B.trait} {B.kind}.",
                '"We need a shovel and a lot of {F}," said{!speaks} {B} the {B.kind}, who was {A}\'s best friend.',
                "{B} the {B.kind} looked at it for a long time and said{!warns} that treasure is never easy.",
                (
                    "Nobody was better at finding{!introduces} things than {B}, {a:B.trait} {B.kind}, so {A} "
                    "took {B.him} along."
                ),
            ),
            (
                "Early next morning {A} and {B} set out{!travels} {P.to}.",
                "They [marched|walked]{!travels} one hundred steps north, just as the paper said.",
                "Off they went{!travels}, past the mossy stone and the tree that looked like a sleeping giant.",
                "With a bag of {F} and a shovel, {A} and {B} set off{!travels} through tall wet grass.",
                "All day they followed{!travels} the arrows, and a brown cow followed them.",
            ),
            (
                "{A} counted the steps, but {B} sneezed, and they had to begin again{!fails}.",
                "They dug a hole and found{!fails} nothing but a boot and a very rude mole.",
                "A wild goose hissed{!danger} at them and would not let them pass until {B} gave it some {F}.",
                (
                    '"You are holding it upside down," said{!quarrels} {A}, and {B} said that {A} was holding '
                    "it the wrong way round."
                ),
                "They were so {~tired}{!feels} that {B} wanted to turn back.",
                "A gust of wind snatched{!loses} the paper away. {B} had to climb{!rescues} a tree to get it back.",
            ),
            (
                'Then {A} saw{!finds} a stone [with a star on it|shaped like a tooth] and called out, "Here!"',
                "Under an old oak they began to dig{!tries}, first {A}, then {B}, then {A} again.",
                "{B} tapped{!tries} the ground with one foot and heard it ring like a pot.",
                "At the very last arrow {A} put the shovel into the ground{!tries} and pushed.",
                "They [lifted|rolled] the last stone away{!tries}, both {~excited}.",
            ),
            (
                "Deep in the ground lay{!finds} {a:O.adj} {O}, wrapped in a pirate's shirt.",
                "There was no gold at all{!fails}. There was only{!finds} {a:O.adj} {O}.",
                "Clunk went the shovel, and out of the earth came{!finds} {a:O.adj} {O}.",
                '"It is {a:O.adj} {O}!" said{!finds} {A}, holding it up to the light.',
                "In the hole sat an old tin, and in the tin was{!finds} {a:O.adj} {O}.",
            ),
            (
                'Beside the {O} was a note{!discovers} that said, "For whoever did not give up."',
                "{B} was {~surprised}{!feels}, but {A} turned the {O} over and over and smiled.",
                '"It is the finest {O} in the world," said{!speaks} {A}, and meant it.',
                "{A} cleaned{!mends} the {O} with a sleeve until it gleamed.",
                "{B} rubbed the {O.adj} {O}, and a hundred glow-worms flew out{!discovers} of it.",
                "",
                "",
            ),
            (
                "They took turns{!ends} with the {O} ever after, {A} in summer and {B} in winter.",
                "Then {A} drew{!makes} a new map, and they hid the {O} again for somebody else to find.",
                "{A} and {B} went home{!returns} {~happy}, with the {O} between them and mud up to their ears.",
                '"The looking was the best part," said{!teaches} {B}, eating the last of the {F}.',
                "That night the {O.adj} {O} stood{!ends} on the table, and {A} gazed at it until the fire went out.",
            ),
        ),
    ),
    Plot(
        name="cave_rescue",
        genre="story",
        theme="a rescue from a cave",
        stages=(
            (
                (
                    "Deep under the hill there was a dark hole{!describes} that everyone called the Old Mouth. "
                    "Right beside it lived{!lives} {A} the {A.kind}."
                ),
                '"Do not go in there," the grandmother of {A} the {A.kind} had always said{!warns}.',
                "One {W} day {A} the {A.kind} and {B} the {B.kind} were playing{!plays} ball among the rocks.",
                (
                    "At breakfast {A} the {A.kind} and {B} had quarrelled{!quarrels}. Now {B} was "
                    "nowhere{!loses} to be seen."
                ),
                (
                    "There was nothing {B} the {B.kind} liked{!likes} more than dark holes, and nothing {A} "
                    "the {A.kind} liked less."
                ),
                (
                    "A bat flew{!describes} in circles around {A}, {a:A.trait} {A.kind}, as if it wanted to "
                    "say something."
                ),
                (
                    '"Hello, is anybody out there?" called{!asks} a faint voice from under the ground. {A} the '
                    "{A.kind}, who was passing by, stopped{!waits} to listen."
                ),
            ),
            (
                "{B}, {a:B.trait} {B.kind}, had gone in{!travels} to look for {a:O.adj} {O}.",
                (
                    "That morning {B} the {B.kind} had taken {a:O.adj} {O} and crept{!travels} inside to see "
                    "where the bats slept."
                ),
                (
                    "Because of a silly bet, {B}, who was {a:B.trait} {B.kind}, had climbed{!dares} down into "
                    "the cave with {a:O.adj} {O}."
                ),
                (
                    "It was {B}'s {O.adj} {O} that had rolled{!loses} into the cave, and {B} the {B.kind} had "
                    "crawled in after it."
                ),
            ),
            (
                "Then the stones [slipped|came down]{!danger}, and the way out was shut.",
                "With a noise like thunder the rocks fell{!danger}, and {B} was trapped.",
                "{B} slipped{!danger} down a steep tunnel and could not climb back up.",
                "Suddenly the water began to rise{!danger} in the cave, cold and black around {B}.",
            ),
            (
                '"Help, I am stuck!" [cried|called]{!asks}{#} {B}, and the cave said it back three times.',
                "Outside, {A} heard{!discovers}{#} a cry for help, thin as a thread.",
                "{A}, {a:A.trait} {A.kind}, put an ear to the ground and heard{!discovers}{#} {B} calling for help.",
                '"I am coming to get you out, {B}!" [shouted|called]{!promises}{#} {A}.',
                "As soon as {A} understood{!discovers}{#} that {B} was caught inside, {A.he} ran to get help.",
            ),
            (
                "{A} was {~afraid}{!feels} of the dark, and the cave was nothing but dark.",
                "All around {B} it was so quiet{!describes} that {B.he} could hear a spider walking.",
                "{B} held{!fears} the {O.adj} {O} tightly and counted to one thousand.",
                "Alone in the dark, {B} felt {~afraid}{!feels} and thought of warm {F}.",
                "To keep up {B.his} courage, {B} told{!dares} the {O} every joke {B.he} knew.",
            ),
            (
                "{A} lit a small lamp, took a deep breath and went in{!dares}.",
                "One by one, {A} [pulled|rolled]{!tries} the stones away.",
                "On hands and knees {A} crept{!dares} through a crack that was hardly wider than a loaf of bread.",
                "The first rope was too short{!fails}. So {A} tied{!thinks} two shirts and a belt to the end of it.",
                "{A} followed{!searches} the sound of {B}'s voice, left at the wet wall and right at the bones.",
                '"Keep talking," {A} called{!asks}, and crawled towards the sound.',
            ),
            (
                "At last the light fell{!finds} on {B}, who was blue with cold, and on the {O.adj} {O}.",
                '"There you are," said{!finds} {A}, as if they had met at the market.',
                "A face [appeared|looked out]{!finds} between two rocks. It was {B}{!meets}, with a bat on one ear.",
                (
                    "Far below, something shone{!finds} in the lamplight. It was the {O.adj} {O}{!discovers}, "
                    "and {B} was holding it."
                ),
            ),
            (
                "{A} pulled and pulled, and out popped{!rescues} {B} like a cork.",
                "Step by step {A} led{!rescues} {B} up into the light.",
                "{A} threw {B} a rope and hauled{!rescues} {B.him} up, along with the {O}.",
                "Side by side {A} and {B} squeezed{!escapes} out, just before the last stone fell.",
                "The whole village pulled on the rope, and up came{!rescues} {B}.",
            ),
            (
                '"You came," said{!thanks} {B}, who was very {~grateful}.',
                "The sky had never looked so big{!feels} to {B}, who lay in the grass and laughed.",
                "{B} gave{!gives} the {O.adj} {O} to {A}, who did not know what to say.",
                "Afterwards they both ate{!eats} {F} in front of the fire, and nobody said a word about the dark.",
                "{A} and {B} built{!makes} a little fence around the hole, so that nobody else would fall in.",
                '"Next time, ask me to come along," said{!teaches} {A}, and {B} promised.',
            ),
        ),
    ),
    Plot(
        name="long_journey",
        genre="story",
        theme="a long journey to find someone",
        stages=(
            (
                (
                    "One {W} morning, {A} the {A.kind} [locked the door|put on two pairs of socks] and began "
                    "to walk{!travels}."
                ),
                '"Nobody can walk that far," said{!warns} the neighbours of {A} the {A.kind}.',
                "For three years {A}, {a:A.trait} {A.kind}, had waited{!waits} for the postman every single day.",
                (
                    "Every evening {A}, {a:A.trait} {A.kind}, set{!describes} two plates on the table, though "
                    "only one was ever used."
                ),
                (
                    "A postcard with one corner missing came{!arrives} for {A}, {a:A.trait} {A.kind}. It "
                    "showed a tree and nothing else{!describes}."
                ),
                "Where do friends go when nobody hears from them? {A} the {A.kind} had asked{!asks} this all winter.",
                "The shoes of {A} the {A.kind} were full of holes{!describes}, and {A} was proud of every hole.",
            ),
            (
                "Now {A} had decided{!wants}{#} to find {B}, an old friend who lived far away {P.at}.",
                (
                    "{B} the {B.kind}, {A}'s best friend, had moved away, and {A} had decided{!wants}{#} to go "
                    "and find {B.him}."
                ),
                '"I will find {B}," said{!promises}{#} {A}, "even if I have to walk to the end of the world."',
                (
                    "{A} missed{!feels} {B} the {B.kind} so much that nothing tasted good any more. It was "
                    "time to go and look{!travels}{#} for {B.him}."
                ),
                (
                    "The one {A} wanted{!wants}{#} to find was {B}, {a:B.trait} {B.kind} who had gone {P.to} "
                    "and never written."
                ),
            ),
            (
                "All {A} took{!carries} along was {a:O.adj} {O} and a bag of {F}.",
                "In {A}'s bag was{!carries} {a:O.adj} {O} that {B} had left behind.",
                "{A} carried{!carries} {a:O.adj} {O} as a present and kept it dry under a coat.",
                "On {A}'s back hung{!carries} {a:O.adj} {O}, wrapped in three clean towels.",
            ),
            (
                (
                    "For seven days {A.he} walked{!travels} through [sand|snow|rain|tall grass], and for seven "
                    "nights {A.he} slept under carts."
                ),
                "The road went up, the road went down, and {A} went with it{!travels}.",
                "{A} asked{!asks} every bird on the way about {B}, but the birds only talked about worms.",
                "In the third town, {A} got on the wrong coach{!fails} and had to go all the way back.",
                "Soon {A}'s feet hurt{!feels} so much that {A.he} walked on the grass and sang to forget them.",
                "At night {A.he} felt {~homesick}{!feels} and talked to the {O.adj} {O} until sleep came.",
                "",
                "",
                "",
                "",
                "",
            ),
            (
                "At a ferry sat{!meets} {C}, {a:C.trait} {C.kind} in a very long apron.",
                "Halfway there {A} met{!meets} {C} the {C.kind}, who was carrying a door on {C.his} back.",
                "One evening {A} knocked at the house of {C}, {a:C.trait} {C.kind}, and was let in{!meets}.",
                "By a small fire in the rain sat{!meets} {C} the {C.kind}, roasting {F}.",
            ),
            (
                '"I know {B}," said{!answers} {C}. "Follow the stream{!helps} until you smell onions."',
                "{C} shared{!gives} the {F} with {A} and drew the way on a napkin.",
                '"Turn back," {C} [warned|said]{!warns}, "for the way is long." But {A} walked on{!dares}.',
                "{C} had never heard{!answers} of {B}, but {C} lent {A} a donkey for the last part of the way.",
                (
                    '"Give me the {O}, and I will tell you the way," said{!asks} {C}. But {A} shook{!refuses} '
                    "{A.his} head and walked on."
                ),
            ),
            (
                "Early on the tenth day, {A} came{!arrives} to a little blue door and knocked.",
                "When {A} was almost too {~tired} to go on, a light shone{!arrives} ahead.",
                "At last {A} stood{!arrives} {P.at}, with dust up to {A.his} ears.",
                "From the top of the last slope {A} saw{!arrives} a thin line of smoke and began to run.",
                "Then somebody came singing around the corner{!meets}, and {A} knew the song.",
            ),
            (
                "It was {B}{!meets}! {B} dropped{!feels} a whole pan of {F} for joy.",
                '"You have grown," said{!greets} {B}, who was {~surprised}. "And you have not," said{!answers} {A}.',
                "There stood{!meets} {B}, and for a long time neither of them could say a word.",
                "{B} looked at {A}, then at the {O.adj} {O}, and burst{!feels} into tears.",
                '"I wrote you a hundred letters," said{!explains} {B}, "but I never had a stamp."',
            ),
            (
                "{A} gave{!gives} {B} the {O.adj} {O}, and then they talked until the stars went out.",
                "Then {A} and {B} sat down and ate{!eats}, and the {O} had a chair of its own.",
                '"Here is your {O}," said{!gives} {A}. "I did not want{!explains} to send it by post."',
                "{A} felt {~happy}{!feels} from head to toe and put the {O} into {B}'s arms.",
                "",
                "",
                "",
            ),
            (
                "They are neighbours now{!ends}, with one garden and no fence.",
                "No road is too long{!teaches} when a friend is waiting at the end of it.",
                "{A} stayed{!ends} for one week, then for one year, and then for good.",
                "And the shoes? {A} planted{!ends} flowers in them.",
                "In spring they went home{!returns} together, and the way seemed only half as long.",
            ),
        ),
    ),
    Plot(
        name="great_race",
        genre="story",
        theme="a race and who wins it",
        stages=(
            (
                '"On your marks!" shouted{!speaks} {C} the {C.kind}, and two noses pointed straight ahead.',
                "Once a year, on a {W} day in spring, nobody {P.at} did any work{!describes}.",
                "There was a notice{!describes} on the old oak tree, written in purple ink.",
                "Nobody had ever beaten{!introduces} {B}, {a:B.trait} {B.kind} with very long socks.",
                (
                    '"I am faster than you," said{!quarrels} {B} the {B.kind}. "You are not," said{!quarrels} '
                    "{A} the {A.kind}."
                ),
                "All summer long {A}, {a:A.trait} {A.kind}, had been running{!learns} up and down the stairs.",
                "The whole band was practising{!describes} under the trees, and only the trumpet knew the tune.",
            ),
            (
                "It was the day of the great race{!competes}{#}, from the old oak {P.to} and back.",
                "The race{!competes}{#} was about to begin, and the first one {P.at} would be the winner.",
                "Everyone had come{!competes}{#} to watch the race, even the oldest hen in the village.",
                "A race{!competes}{#} was to be held that day, three times around the duck pond and over the wall.",
            ),
            (
                "The prize was{!describes} {a:O.adj} {O}, and {A} the {A.kind} wanted it more than anything.",
                (
                    "{A}, {a:A.trait} {A.kind}, had dreamed{!wants} of the prize for weeks, {a:O.adj} {O} with "
                    "a bow on top."
                ),
                "{A} the {A.kind} wanted to win{!wants} the prize, {a:O.adj} {O}, for a sick grandmother.",
                (
                    "Whoever won would be given{!promises} {a:O.adj} {O}. {A} the {A.kind} could not "
                    "stop{!wants} looking at it."
                ),
            ),
            (
                "Next to {A} stood{!introduces} {B} the {B.kind}, who yawned on purpose.",
                '"You will only see my back," said{!speaks} {B}, {a:B.trait} {B.kind}.',
                "{B} the {B.kind} had eaten{!eats} nine plates of {F} and was {~hopeful}.",
                "{A} felt {~worried}{!feels}, for {B} the {B.kind} looked very strong.",
                "{B} the {B.kind} was there too{!competes}, jumping up and down like a flea.",
            ),
            (
                "Bang, and [off they went|away they flew]{!competes}, and a cloud of dust hid them both.",
                "At the first bend {B} was far in front{!competes}, and {A} had a fly in one eye.",
                "{B} flew ahead{!competes} like an arrow, and {A} puffed along behind.",
                "For a while {A} and {B} ran side by side{!competes}, so close that their elbows touched.",
                "{A} started too late{!fails}, because of a knot in one shoe.",
            ),
            (
                "Then {B} took a short cut through the mud and stuck fast{!fails}.",
                "{B} turned around{!tricks} to pull a face and ran straight into a hay cart.",
                "Halfway there {B} tripped{!fails} over a sleeping pig and landed in the nettles.",
                "Suddenly a wild goose rushed{!danger} out of the reeds and bit {B} in the leg.",
                "{B} stopped{!rests} to wave at the crowd, and waved much too long.",
            ),
            (
                "{A} could have run past, but {A.he} stopped{!helps} and pulled {B} up again.",
                '"Are you hurt?" asked{!helps} {A}, and gave {B} an arm to lean on.',
                "{A} did not look left or right, and kept{!tries} running, step after step after step.",
                "With a deep breath {A} ran{!tries} faster than ever before, and both shoes flew off.",
                "Like a small storm {A} shot{!competes} past {B}.",
            ),
            (
                "The crowd roared{!wins}, for it was {A} who touched the pole first.",
                "{A} fell{!wins} over the line first, nose in the grass.",
                "By the width of one whisker {A} won{!wins}, and all the hats flew up.",
                "They came in at the very same moment, and they were both{!wins} the winners.",
                "Nobody could believe it, but {A} had won{!wins}.",
            ),
            (
                "The mayor, {C} the {C.kind}, gave{!gives} {A} the {O.adj} {O}, and the band played the wrong song.",
                '"Well run, {A}," said{!speaks} {B}, who was only a little {~jealous}.',
                "{A} looked at the {O.adj} {O} and was so {~happy}{!feels} that no words came.",
                "{A} lifted{!celebrates} the {O} high, and {B} clapped louder than anyone.",
                "",
                "",
            ),
            (
                "That night {A} and {B} shared{!celebrates} a mountain of {F}.",
                "{A} let{!gives} {B} keep the {O} every second week.",
                '"Next year we shall run as a team," said{!promises} {B}, and {A} agreed.',
                "The oldest pig in the village slept{!ends} through it all.",
                "The {O} hangs{!ends} over {A}'s bed to this day, a little dusty, but straight.",
                "Fast is good{!teaches}, but not giving up is better.",
            ),
        ),
    ),
    Plot(
        name="night_guard",
        genre="story",
        theme="a thief and the one who keeps watch",
        stages=(
            (
                (
                    "It was long after midnight{!describes} {P.at}, and only the window of {A} the {A.kind} "
                    "was still lit."
                ),
                '"Halt, who is there?" called{!asks} {A} the {A.kind} into the dark.',
                "First it was a spoon, then a ham, and then all the washing of {A} the {A.kind} was gone{!loses}.",
                "Never before had {A}, {a:A.trait} {A.kind}, stayed awake{!waits} past nine o'clock.",
                "Something went tap, tap, tap{!danger} on the roof, and {A} the {A.kind} sat up in bed.",
                "There was a new lock on every door{!describes} {P.at}, but still {A} the {A.kind} could not sleep.",
                "Three cups of black tea{!eats} stood in front of {A} the {A.kind}, and all of them were empty.",
            ),
            (
                "A thief was about{#}, and tonight {A} had to guard{!waits} {a:O.adj} {O}.",
                (
                    'For a week a thief had been stealing{!takes}{#} things. "But nobody shall steal the '
                    '{O.adj} {O}," said{!promises} {A}.'
                ),
                (
                    "Somebody {P.at} was a thief{!takes}{#}, and it was the task of {A} to keep watch over "
                    "{a:O.adj} {O}."
                ),
                "There was a thief in the village{!danger}{#}. So {A} was asked{!asks} to watch over {a:O.adj} {O}.",
            ),
            (
                "The {O} belonged{!owns} to {C}, {a:C.trait} {C.kind} who could not sleep without it.",
                '{C} the {C.kind} had said{!warns}, "If the {O} is stolen, it will never rain {F} again."',
                "{A} sat down{!waits} right on top of the {O.adj} {O}, to be quite sure.",
                "{A} tied{!makes} one end of a string to the {O.adj} {O} and the other end to {A.his} big toe.",
                "The {O} was the most precious thing{!describes} {P.at}, though nobody remembered why.",
                "",
                "",
                "",
            ),
            (
                "[Ten|Eleven] o'clock came, and then midnight, and still {A} waited{!waits}.",
                (
                    "The clock ticked, the mice danced, and {A} was so {~tired}{!feels} that the stars looked "
                    "like biscuits."
                ),
                "Outside it was so quiet{!describes} that {A} could hear the snow, or perhaps the moon.",
                "To stay awake, {A.he} counted{!waits} all the sheep in the valley and gave each of them a name.",
                "In the dark every coat looked{!fears} like a robber, and {A} felt {~afraid}.",
                "",
                "",
            ),
            (
                "Then, very softly, [a window opened|the door creaked|a board creaked]{!danger}.",
                "Suddenly a shadow [slid|crept]{!danger} along the wall towards the {O.adj} {O}.",
                "All at once the curtain moved{!danger}, though every window was shut.",
                "Something small and quick climbed{!danger} in through the chimney and reached for the {O}.",
            ),
            (
                '"Got you!" cried{!succeeds} {A}, and threw a sheet over the thief.',
                "{A} jumped up and blew{!warns} a horn so loudly that the soup fell off the stove.",
                "{A} slammed the door shut, and the thief was caught{!succeeds} like a mouse in a jar.",
                "The thief stepped{!tricks} straight into the bucket of glue that {A} had put there.",
                'With beating heart {A} stepped{!dares} out of the shadow and said, "Good evening."',
            ),
            (
                (
                    "It was nobody but {B} the {B.kind}{!discovers}, [with a sack full of spoons|blinking in "
                    "the lamplight]."
                ),
                "Under the mask was{!discovers} {B}, {a:B.trait} {B.kind} from next door.",
                "{A} held up the lamp and saw{!discovers} {B} the {B.kind}, who went red from top to bottom.",
                '"Please do not tell anyone," begged{!asks} the thief, and now {A} saw that it was {B} the {B.kind}.',
            ),
            (
                '"I only wanted to look at the {O}," {B} [said|whispered]{!explains}.',
                '"I was hungry," said{!explains} {B}, "and then I could not stop."',
                "{B} felt {~sorry}{!feels} and put every single thing back on the table.",
                '"I never had anything as beautiful as the {O}," said{!explains} {B}, and began to cry.',
                "{B} had walked{!explains} in {B.his} sleep and knew nothing about it.",
            ),
            (
                (
                    "{A} thought{!thinks} for a while. Then {A} gave{!forgives} {B} a bowl of {F} instead of "
                    "calling the guards."
                ),
                '"Then come and ask next time," said{!forgives} {A}.',
                "{A} was {~angry}{!feels} for as long as it takes to eat a plum, and then no more.",
                "{A} made {B} carry{!mends} everything back, house by house, and say good morning at every door.",
            ),
            (
                "Now {B} keeps watch{!ends} at night, and nothing has been stolen since.",
                "When the sun came up, the {O} was there{!ends}, and {A} and {B} were asleep in front of it.",
                "And {A} slept{!rests} until Thursday.",
                "From that night on, {A} and {B} guarded{!ends} the {O.adj} {O} together, one awake and one snoring.",
                '"The best lock is a friend{!teaches}," {A} said afterwards.',
            ),
        ),
    ),
    Plot(
        name="lamp_night",
        genre="story",
        theme="a night at the lighthouse",
        stages=(
            (
                (
                    "Two hundred and seven steps lead{!describes} up to the great lamp, and {A} the {A.kind} "
                    "had counted them all."
                ),
                "Every night, rain or snow, {A}, {a:A.trait} {A.kind}, lit{!lives} the lamp of the lighthouse.",
                '"Good night, gulls," said{!speaks} {A} the {A.kind}, and closed the big iron door.',
                (
                    "Out on the last black rock, where even the crabs turn back, lived{!lives} {A}, "
                    "{a:A.trait} {A.kind}."
                ),
                "Far out at sea, a ship was looking{!searches} for the land, and the land was looking for the ship.",
                (
                    "The wind had been pulling{!weather} at the windows of the lighthouse since breakfast. {A} "
                    "the {A.kind} put another log on the fire{!waits}."
                ),
                (
                    "What does a lighthouse keeper do all day? {A} the {A.kind} [polished|cleaned]{!mends} the "
                    "glass, cooked {F} and talked to the waves."
                ),
            ),
            (
                "It was {A}'s task to keep the light burning{!promises}{#} so that no ship would hit the rocks.",
                "As long as the lighthouse shone, every ship was safe{!explains}{#}, and {A.he} knew it.",
                "In all these years {A} had never once let{!describes}{#} the light of the lighthouse go out.",
                '"A lighthouse must never sleep," {A}\'s grandfather had always said{!teaches}{#}.',
            ),
            (
                "That night the sea was wild{!weather}, and the waves knocked at the door like rude guests.",
                "Then a black storm came{!danger} up, and the whole tower shook like a wet dog.",
                "Near midnight {A.he} heard{!discovers} a bell far away. There was a ship{!danger} out there!",
                "Thick clouds swallowed{!weather} the moon, and the sea began to roar.",
            ),
            (
                "All at once the lamp went out{!breaks}.",
                "A gull crashed{!breaks} through the window, and the wind blew out the light.",
                "The flame grew small, then blue, and then it was gone{!loses}.",
                "The oil was empty{!loses}, and the great lamp went dark.",
            ),
            (
                '"Oh no," whispered{!fears} {A}, who was {~afraid}.',
                "{A.He} was {~worried}{!feels}, for somewhere in the dark a ship was coming nearer.",
                "Without the light, the ship would sail{!danger} straight onto the rocks, and {A} had to be quick.",
                "For one moment {A.he} stood{!fears} in the dark and could not move.",
                "",
                "",
                "",
                "",
            ),
            (
                "Down the steps and up again {A.he} carried{!carries} oil in a soup pot, for the bucket had a hole.",
                "{A} [burned|set fire to]{!tries} an old chair, two brooms and a very ugly picture.",
                "With trembling knees {A.he} climbed{!dares} out into the storm and turned the lamp with both arms.",
                "Nine matches went out in the wind{!fails}. With the last one {A} lit{!succeeds} the lamp.",
                "{A} stuffed{!mends} an old coat into the window and lit the lamp with the very last match.",
                (
                    "So {A.he} lit{!thinks} every candle in the house, stood them in a row and held a tin "
                    "plate behind them."
                ),
            ),
            (
                "And the light [came back|shone again]{!succeeds}, long and white over the water.",
                'Out at sea somebody shouted{!answers}, "There is the light!"',
                "Just in time the ship turned{!escapes}, so close that {A.he} could smell the cook's {F}.",
                "Slowly the ship crept{!rescues} past the rocks and into quiet water.",
            ),
            (
                (
                    "In the morning the captain of the ship came{!arrives} up the steps, quite out of breath. "
                    "It was {B}{!introduces}, {a:B.trait} {B.kind}."
                ),
                "On board the ship was {B} the {B.kind}, who rowed over{!arrives} at sunrise.",
                "When the sun rose, {B}, {a:B.trait} {B.kind} in wet boots, knocked{!arrives} at the door.",
                "At dawn a little rowing boat brought{!arrives} {B} the {B.kind} to the rock.",
            ),
            (
                '"You saved us all," said{!thanks} {B}, and gave {A} {a:O.adj} {O}.',
                '"This is from the whole ship," said{!gives} {B}, and pulled {a:O.adj} {O} out of a sack.',
                "{B} was so {~grateful} that {A} was given{!gives} {a:O.adj} {O} and a barrel of {F}.",
                "Because {B} could not find the right words, {B.he} [put|set]{!gives} {a:O.adj} {O} on the table.",
            ),
            (
                "{A} looked at the {O.adj} {O} and felt {~happy}{!feels}.",
                "The {O} stands{!ends} beside the great lamp now, and on clear nights it shines a little too.",
                '"It was only a light," said{!teaches} {A}, but even a small light is big in the dark.',
                "Then {A} and {B} ate{!eats} breakfast, and {A} fell asleep over the {O} with a spoon in one ear.",
                (
                    "And that night, at the usual time, {A} took the {O} along and climbed{!ends} the two "
                    "hundred and seven steps again."
                ),
            ),
        ),
    ),
    Plot(
        name="hidden_door",
        genre="story",
        theme="a hidden door and what is behind it",
        stages=(
            (
                (
                    "Behind an old wall {P.at}, something was humming{!describes}, and {A} the {A.kind} "
                    "stopped to listen."
                ),
                (
                    "One {W} afternoon, {a:A.trait} {A.kind} named {A}{!introduces} was looking for a lost "
                    "button {P.at}."
                ),
                '"Shh, the wall just sneezed," said{!speaks} {A} the {A.kind}.',
                "There are thirteen doors {P.at}, but {A} the {A.kind} had always counted{!describes} only twelve.",
                (
                    "A mouse ran straight into a wall and was gone{!discovers}. Nobody saw{!describes} it "
                    "except {A}, {a:A.trait} {A.kind}."
                ),
                "It began with a draught{!describes}, thin and cold, that tickled {A} the {A.kind} on the neck.",
            ),
            (
                "{A} pulled the curtain away and saw{!discovers}{#} a hidden door, no higher than a chair.",
                "Under the old paper on the wall, {A} felt{!discovers}{#} the edges of a secret door.",
                "{A} leaned on a stone, and with a groan a hidden door appeared{!discovers}{#}.",
                "There, behind cobwebs as thick as wool, was{!discovers}{#} a small hidden door.",
                "{A} wiped the dust away and found{!finds}{#} a secret door, painted to look like the wall.",
            ),
            (
                "{A} [pushed|pulled], but the door would not open{!fails}.",
                "The door had no handle{!describes}, only a small hole in the shape of a star.",
                'On the door stood{!describes} one word: "Knock."',
                "{A} put an ear to the wood and heard{!discovers} somebody snoring, or perhaps the sea.",
                '"Open up, please," said{!asks} {A}, but the door only creaked.',
            ),
            (
                "{A} ran to fetch{!asks} {B}, {a:B.trait} {B.kind} who was good with locks.",
                '"What have you found?" asked{!asks} {B} the {B.kind}, coming around the corner with a bowl of {F}.',
                "Soon {B} the {B.kind} was [there too|kneeling beside {A}]{!helps}, with a hairpin and a hammer.",
                "{A} told{!speaks} {B}, {a:B.trait} {B.kind}, who did not believe a word of it.",
            ),
            (
                '"Nobody should open doors that somebody has hidden," {B} said{!warns}.',
                "{B} was {~afraid}{!feels} of what might be inside, but {A} was not.",
                "{B} tickled{!tries} the lock with a feather, and something in it giggled.",
                "First {B} tried{!fails} with a fork, then with a song, and then with a very hard kick.",
                "{A} knocked{!tries} three times, and {B} knocked once more to be polite.",
                "",
            ),
            (
                "Then there was a click{!succeeds}, and the door swung open all by itself.",
                '"Together!" said{!speaks} {A}. They pushed, and the door flew open{!succeeds}.',
                "At last {A} slid{!succeeds} the door to one side, and that was the trick.",
                '{A} whispered, "We come as friends," and slowly the door opened{!succeeds}.',
            ),
            (
                (
                    "Behind it was{!discovers} a small round room full of dusty light. In the middle "
                    "stood{!finds} {a:O.adj} {O}."
                ),
                "{A} crept in first{!dares} and came nose to nose with {a:O.adj} {O}.",
                "Steps led{!travels} down and down to a little table. On it lay{!finds} {a:O.adj} {O}.",
                "Inside there was nothing{!finds} but {a:O.adj} {O} and a chair for someone very small.",
                (
                    "A garden grew{!discovers} behind it, with grass on the ceiling. From a branch "
                    "hung{!finds} {a:O.adj} {O}."
                ),
            ),
            (
                '"Who put the {O} here?" asked{!asks} {B}, who was {~surprised}.',
                "As soon as {A} touched the {O.adj} {O}, all the clocks in the village began to strike{!discovers}.",
                (
                    'Out from behind the {O} stepped{!meets} {C}, {a:C.trait} {C.kind}. "I have been playing '
                    'hide and seek for forty years," said{!explains} {C}.'
                ),
                "There was a name carved{!discovers} into the {O}, and it was {A}'s own name.",
                'Beside the {O} lay{!finds} a letter. It began{!explains} with the words, "At last somebody looked."',
            ),
            (
                "{A} and {B} [told nobody|kept it to themselves]{!promises} and met there every Sunday.",
                "They dusted{!mends} the {O}, closed the door softly and hung the curtain up again.",
                "{A} took the {O.adj} {O} home{!carries}, and {B} left a pot of {F} there instead, to be fair.",
                "The {O} stayed where it was{!ends}, and the door is still open for anyone who looks.",
                "{A} felt {~excited}{!feels} for a whole week and tapped on every wall with the {O}.",
                '"There is always one more door{!teaches}," said {A}, "so keep your eyes open."',
            ),
        ),
    ),
    Plot(
        name="kidnapped_toy",
        genre="story",
        theme="a stolen toy and how it is won back",
        stages=(
            (
                "Last night somebody climbed{!takes} in through the window of {A} the {A.kind}.",
                '"Where is my {O}?" cried{!asks} {A} the {A.kind}, so that the cups trembled.',
                "There was a muddy footprint{!discovers} on the pillow of {A}, {a:A.trait} {A.kind}.",
                (
                    "Some play with dolls{!plays} and some with bricks. {A} the {A.kind} played{!likes} with "
                    "nothing but {a:O.adj} {O}."
                ),
                "Nobody could sleep {P.at}, because {A} the {A.kind} was howling{!feels} like a wolf.",
                "Instead of {A.his} {O.adj} {O}, {A} the {A.kind} found{!finds} a cold potato in {A.his} bed.",
            ),
            (
                "{A}'s favourite toy, the {O.adj} {O}, had been [stolen|kidnapped]{!takes}{#}.",
                "The {O.adj} {O} was {A}'s dearest toy, and now a thief had taken{!takes}{#} it.",
                '"A thief has stolen{!takes}{#} my toy," sobbed {A}, "my own {O.adj} {O}!"',
                (
                    "The toy that {A} loved best, the {O.adj} {O}, was gone, and a thief had left{!takes}{#} "
                    "dirty marks on the floor."
                ),
            ),
            (
                (
                    'On the table lay{!finds} a note: "Bring ten pots of {F} {P.to}, or you will never see the '
                    '{O} again."'
                ),
                'A note said{!warns}, "If you want the {O} back, bring me all your {F}."',
                "{A} was {~angry}{!feels} and bit a piece out of the table.",
                "Without the {O}, {A} felt {~sad}{!feels} and would not even eat {F}.",
                "{A} did not waste{!promises} time on tears and put on a big hat to look like a detective.",
                "",
                "",
            ),
            (
                "{B}, {a:B.trait} {B.kind}, promised{!promises} to help.",
                '"We shall get it back," said{!promises} {B} the {B.kind}, and rolled up both sleeves.',
                "Next door lived {B} the {B.kind}, who came{!helps} with a magnifying glass and a sandwich.",
                "{A} asked{!asks} {B} the {B.kind}, who could smell a thief from three fields away.",
            ),
            (
                (
                    "{A} and {B} followed{!searches} a line of crumbs across the field, under a fence and "
                    "through a sleeping cow's legs."
                ),
                "{A} and {B} hid{!hides} in a haystack and waited for the thief to come by.",
                "The footprints led{!travels} them {P.to}, where smoke rose from a chimney.",
                "All day {A} and {B} searched{!searches}, and everybody they asked pointed another way.",
            ),
            (
                "Behind a wall sat{!meets} {C}, {a:C.trait} {C.kind}, with the {O.adj} {O} on one knee.",
                (
                    "They peeped through a window and saw{!discovers} {C} the {C.kind}, who was singing the "
                    "{O} to sleep."
                ),
                "The thief was {C} the {C.kind}{!discovers}, and {C} was dancing with the {O.adj} {O}.",
                "There they found{!finds} {C}, {a:C.trait} {C.kind}, having tea with the {O}.",
            ),
            (
                '"Hands up!" shouted{!dares} {B}, and {C} dropped the teapot.',
                "{A} crept up{!dares} from behind, as quiet as snow, and pulled the {O} away.",
                "{B} knocked at the front door, and meanwhile {A} climbed{!tricks} in at the back and took the {O}.",
                "{A} and {B} howled{!tricks} like two ghosts, and {C} let go of the {O} and fell off the chair.",
                '"Give it back," said{!asks} {A}, and {A}\'s voice hardly shook at all.',
            ),
            (
                '"I never had a toy of my own," {C} said{!explains}.',
                "{C} felt {~sorry}{!feels} and looked at the floor.",
                '"I only wanted somebody to play with," said{!explains} {C}, and two big tears rolled down.',
                '"Please forgive me," said{!apologises} {C}, and took off {C.his} mask.',
                "",
                "",
                "",
            ),
            (
                '"The {O} is yours again{!rescues}," said {B}, and gave it to {A}.',
                "{A} [hugged|kissed] the {O} and was {~happy}{!feels}.",
                "{A} pressed{!returns} the {O} close, and not one scratch was on it.",
                "And so the {O.adj} {O} came home{!returns} on {A}'s shoulders.",
            ),
            (
                "{A} let {C} play{!forgives} with the {O} every Friday, and nothing was ever stolen again.",
                "Then {A} showed{!gives} {C} how to make a toy out of a sock and two buttons.",
                "Now {A}, {B} and {C} all play{!ends} together, and the potato is the king.",
                "That night {A} slept{!rests} with the {O} under one arm and {B} on guard by the window.",
                "A toy can be shared{!teaches}, and then there is twice as much of it.",
            ),
        ),
    ),
    Plot(
        name="strange_visitor",
        genre="story",
        theme="a strange visitor",
        stages=(
            (
                "Three knocks came{!arrives} at the door, and then a fourth one from the chimney.",
                "It was a {W} evening{!weather}, and {A} the {A.kind} was just putting the {F} on the table.",
                '"We are closed," called{!refuses} {A} the {A.kind}, although it was not a shop.',
                "No guest had come to see {A}, {a:A.trait} {A.kind}, for eleven years{!describes}.",
                (
                    "Nothing ever happened {P.at}{!describes}. That was what {A}, {a:A.trait} {A.kind}, "
                    "liked{!likes} about it."
                ),
                (
                    "The dogs began to bark{!warns}, one after the other, all the way down to the house of {A} "
                    "the {A.kind}."
                ),
                (
                    "A green light was coming{!danger} slowly along the road, and {A} the {A.kind} watched it "
                    "from the window."
                ),
            ),
            (
                (
                    "In the doorway stood{!meets}{#} a stranger named {B}, {a:B.trait} {B.kind} with leaves in "
                    "both ears."
                ),
                (
                    '{A} opened the door and saw{!meets}{#} a visitor nobody knew. "My name is {B}," '
                    "said{!introduces} the stranger."
                ),
                "There on the step stood{!meets}{#} a strange guest, {a:B.kind} who bowed and gave the name of {B}.",
                (
                    "Outside was{!meets}{#} a strange visitor, {a:B.trait} {B.kind} called {B}, who wore a "
                    "clock as a hat."
                ),
            ),
            (
                '"May I come in until the moon goes down?" asked{!asks} {B}, with {a:O.adj} {O} under one arm.',
                "{B} was [carrying|holding]{!carries} {a:O.adj} {O}, wrapped in moss.",
                "On {B}'s back hung{!carries} {a:O.adj} {O} that hummed when nobody looked at it.",
                "Without a word, {B} walked in and set{!arrives} {a:O.adj} {O} down by the fire.",
            ),
            (
                "{A} was {~surprised}{!feels}, but a guest is a guest.",
                '"Come in and sit down," said{!answers} {A}, and fetched another bowl.',
                "{A} felt {~worried}{!feels} and hid the silver spoons in a boot.",
                "{A} did not know{!feels} whether to laugh or to run away.",
                "",
            ),
            (
                "{B} ate{!eats} seven bowls of {F}, and then the spoon.",
                "Whenever {B} sneezed, all the chairs moved{!describes} one step to the left.",
                "{B} slept{!rests} standing on one leg in the middle of the room.",
                "{B} talked{!speaks} to the teapot for an hour, and it seemed to answer.",
                "Then {B} walked up the wall{!describes} to have a look at the ceiling.",
                "{B} drank the tea, ate the cup and said{!thanks} that it was delicious.",
            ),
            (
                '"Where do you come from?" asked{!asks} {A}. "From the day after tomorrow," {B} answered{!answers}.',
                '"What do you want here?" {A} asked{!asks}. "Only to be asked," said{!answers} {B}.',
                "{A} asked{!asks} a hundred questions, and {B} smiled at every one of them.",
                "All night {B} told{!speaks} stories of cities under the sea and of rain that falls upwards.",
                '"What is the {O} for?" asked{!asks} {A}. "For whoever is kind to strangers," said{!answers} {B}.',
            ),
            (
                (
                    "In the morning {B} was [gone|nowhere to be seen]{!leaves}, and there was not one "
                    "footprint in the dust."
                ),
                "At sunrise {B} bowed{!leaves}, said goodbye and walked straight into the mist.",
                "When the first bird sang, {B} left{!leaves} through the keyhole.",
                '"It is time," {B} said at dawn, and went{!leaves} away without opening the door.',
            ),
            (
                "But on the table lay{!gives} the {O.adj} {O}, with {A}'s name on it.",
                "Only the {O.adj} {O} was still there{!gives}, warm as a loaf of bread.",
                "Behind the stove {A} found{!finds} the {O.adj} {O}, left there as a present.",
                'The {O.adj} {O} stood{!gives} by the fire, and a note said, "For the supper."',
            ),
            (
                "Since then it has never been cold{!ends} in the house of {A}.",
                "Now, whenever there is a knock, {A} runs{!ends} to the door, with the {O} under one arm.",
                "{A} picked up{!takes} the {O}, and it hummed a little song about {F}.",
                "Nobody believed{!ends} {A}, but the {O} and the missing spoon were proof enough.",
                "Some guests bring{!teaches} more than they eat, even if they eat the spoon.",
                "{A} was {~happy}{!feels} and left the door open, just in case.",
            ),
        ),
    ),
    Plot(
        name="lost_in_fog",
        genre="story",
        theme="getting lost in the fog",
        stages=(
            (
                "At first it was only a thin white line{!weather} over the fields.",
                '"I know a short cut," said{!speaks} {A} the {A.kind}, and that was the mistake.',
                "The last thing {A}, {a:A.trait} {A.kind}, had seen{!describes} was a signpost with a crow on it.",
                "On an autumn evening, {A} the {A.kind} was walking{!travels} home along the old path.",
                "Somewhere a church clock struck five{!describes}, but {A} the {A.kind} could not tell where.",
                '"Be back before dark," {B} had said{!warns} to {A} the {A.kind} that morning.',
                "How can a whole village disappear? {A}, {a:A.trait} {A.kind}, asked{!asks} the nearest cow.",
            ),
            (
                (
                    "{A} had [been sent|set out]{!travels} to bring {a:O.adj} {O} to {B}, {a:B.trait} {B.kind} "
                    "who lived {P.at}."
                ),
                "In {A}'s arms was{!carries} {a:O.adj} {O}, a birthday present for {B} the {B.kind}.",
                "{A} was carrying{!carries} {a:O.adj} {O} home to {B}, {a:B.trait} {B.kind}.",
                "Over one shoulder {A} carried{!carries} {a:O.adj} {O} that {B} the {B.kind} had asked for.",
            ),
            (
                "Then the fog came{!weather}{#}, as thick as porridge, and {A} was lost.",
                (
                    "The fog rolled{!weather}{#} down and swallowed the path, the trees and {A}'s own shoes, "
                    "and {A} had lost the way."
                ),
                "Soon there was nothing but fog{!weather}{#}, and {A} no longer knew the way.",
                "{A} turned around, but in the fog every way looked the same{!loses}{#}, and {A} was lost.",
            ),
            (
                "{A} walked{!tries} straight ahead and came back to the same wet stone.",
                "Three times {A.he} passed{!fails} the same gate, and three times it creaked in the same way.",
                '"Good evening," {A} said{!greets} politely to a tall figure. It was a tree{!discovers}.',
                "With every step the ground grew softer{!danger}, until it tried to keep one of {A}'s shoes.",
                "{A.He} held{!searches} out one arm and felt a way along a hedge.",
            ),
            (
                "{A.He} was {~afraid}{!feels} and held the {O} tightly.",
                "It was so quiet{!describes} that {A.he} could hear the {O} drip.",
                '"I am not lost, I am just not there yet," {A} told{!speaks} the {O}.',
                "{A} felt {~homesick}{!feels} and thought of a warm stove and a plate of {F}.",
                (
                    "Something snorted{!danger} in the white, very near. It was a sheep{!discovers}, and it "
                    "was lost too."
                ),
            ),
            (
                "So {A.he} sat down beside the {O.adj} {O} and waited{!waits}.",
                '"Hello!" called{!asks} {A}, again and again, until there was hardly any voice left.',
                "Then {A.he} had an idea{!thinks} and began to bang a stick on a milk can.",
                "{A} sang{!dares} loudly, all nine verses of a song about a pig.",
                "{A} tied a red thread to a bush{!thinks}, so as not to walk in circles again.",
            ),
            (
                "At home {B} looked at the clock, felt {~worried} and went out{!searches} with a lamp.",
                "Far off a small yellow light began to swing{!helps}. It was {B} the {B.kind}{!discovers}!",
                "Meanwhile {B} stood{!helps} on the roof and blew a horn with all {B.his} might.",
                "Then came an answer{!answers} through the fog, and it was the voice of {B}.",
                '"Stay where you are, {A}!" called{!answers} {B} the {B.kind} from somewhere.',
            ),
            (
                "Step by step {A} walked{!travels} towards the sound, until a cold nose bumped into {B}.",
                '"There you are!" cried{!finds} {B}, and threw a coat around {A}.',
                "A warm arm reached out of the fog and pulled{!rescues} {A} onto the path.",
                "{B} found{!finds} {A} at last, only ten steps from the garden gate.",
                "{A} and {B} bumped{!meets} into each other with a loud crack.",
            ),
            (
                "Soon both of them sat by the stove and ate{!eats} {F}, and the {O.adj} {O} dried beside them.",
                (
                    "The next morning the sun came out{!weather}, and {A} saw that the path had been right "
                    "there all the time."
                ),
                '"Not one scratch on the {O}," said{!ends} {A}, who was {~tired} and very {~happy}.',
                '"Thank you, {B}," said{!thanks} {A}, with the {O} still in both arms.',
                "Since that day {B} hangs{!ends} a lamp at the gate whenever the fog comes.",
                "When you are lost, make a noise{!teaches}, and somebody who loves you will hear it.",
            ),
        ),
    ),
    Plot(
        name="ship_building",
        genre="story",
        theme="the building of a ship",
        stages=(
            (
                '"It will never float," said{!warns} all the neighbours of {A} the {A.kind}.',
                "Bang, bang, bang went the hammer{!makes} of {A} the {A.kind} {P.at}, long before the sun was up.",
                (
                    "Every night {A} the {A.kind} dreamed{!wants} of waves, and every morning {A} woke up "
                    "{P.at}, quite dry."
                ),
                "One {W} morning, {A} the {A.kind} came home{!carries} with eleven planks and a bent nail.",
                (
                    "There was sawdust{!describes} in the soup of {A} the {A.kind} again, and the neighbours "
                    "only sighed."
                ),
                (
                    "Two friends, {A} the {A.kind} and {B} the {B.kind}, sat{!rests} {P.at} and watched a leaf "
                    "float on a puddle."
                ),
                (
                    "If you want to see the world, what do you need? {A}, {a:A.trait} {A.kind}, had "
                    "thought{!thinks} about it for a year."
                ),
            ),
            (
                "{A} wanted to build{!makes}{#} a ship, a real one, and sail away in it.",
                '"Let us build{!makes}{#} a ship," {A} said to {B}, "and see what is behind the sea."',
                (
                    "{A} and {B} were building{!makes}{#} a ship, although neither of them had ever built so "
                    "much as a stool."
                ),
                "The thing that {A} had begun to build{!makes}{#} was a ship, and it was as long as three cows.",
            ),
            (
                "{B}, {a:B.trait} {B.kind}, held{!helps} the nails and sometimes a thumb as well.",
                '"The pointed end goes in front," said{!helps} {B} the {B.kind}, who had once seen a picture.',
                "{B} the {B.kind} did the measuring{!helps}, with a sausage, because there was no ruler.",
                "{A} sawed and {B} the {B.kind} sewed{!makes}, and soon there was a sail made of nine old shirts.",
                "{B} the {B.kind} cooked{!makes} {F} and tar in two pots, and once mixed them up.",
            ),
            (
                (
                    "They filled{!mends} the holes with wool and the gaps with cold {F}, and tied {a:O.adj} "
                    "{O} to the wheel."
                ),
                "For good luck they nailed{!makes} {a:O.adj} {O} to the front.",
                "Because there was no anchor{!thinks}, {B} brought {a:O.adj} {O}.",
                "High up on the mast {A} hung{!makes} {a:O.adj} {O}, so that everyone could see it.",
                "In the middle they built{!makes} a little house for {a:O.adj} {O}.",
            ),
            (
                "Then they dragged it to the lake{!tries}, pushed, and held their breath.",
                "The whole village came to watch{!waits} as the ship slid into the water.",
                '"Ready?" asked{!asks} {A}. They pushed{!tries} the ship down to the water and climbed in.',
                "At last the great day came{!celebrates}, and a band played as they pulled the ship to the water.",
            ),
            (
                "It floated for as long as a sneeze, and then it sank{!fails}.",
                "With a long gurgle the ship turned over{!fails}, and everybody was wet.",
                (
                    "Water [came in|rushed in]{!fails} from below, from above and from one side, and down it "
                    "went, {O} and all."
                ),
                "Only bubbles were left{!fails}, and the {O.adj} {O} going round and round.",
            ),
            (
                "Everybody laughed, and {A} felt {~sad}{!feels}.",
                (
                    '"You forgot{!quarrels} to close the hole in the back," said {A}. "I thought it was a '
                    'window," said{!answers} {B}.'
                ),
                "{A} was {~angry}{!feels} and threw the saw into the reeds, and then went to look for it.",
                "",
                "",
                "",
                '"So that is how it is not done," said{!dares} {B}, who was still {~hopeful}.',
                "{A} dived{!rescues} down again and again, until every plank and the {O.adj} {O} were back on land.",
            ),
            (
                "So they began again{!tries}, with more nails and fewer windows.",
                "All winter {A} and {B} worked{!tries}, and this time they read the book to the end.",
                "An old sailor came by, looked for a long time and moved{!helps} one single plank.",
                "This time {A} measured twice{!learns} and {B} measured a third time.",
            ),
            (
                "In spring they tried it once more, and the ship floated{!succeeds} like a duck!",
                '"She floats!" cried{!succeeds} {B}, and kissed the mast.',
                "And this time it stayed dry{!succeeds}, even when all the neighbours jumped on board.",
                "The ship rocked, groaned and sailed{!succeeds}.",
            ),
            (
                "{A} held the wheel, {B} waved, and the shore grew small{!travels} behind them.",
                'They named{!ends} the ship "The {O}" and sailed away on Tuesday.',
                "{A} was so {~happy}{!feels} that the fish looked up.",
                (
                    "Some say{!ends} that {A} and {B} are still sailing, with {F} for breakfast and the "
                    "{O.adj} {O} for luck."
                ),
                '"Nothing floats the first time{!teaches}," said {A}, and even the {O} seemed to nod.',
            ),
        ),
    ),
    Plot(
        name="broken_bridge",
        genre="story",
        theme="a broken bridge",
        stages=(
            (
                "In the night there was a loud crack{!breaks}, and in the morning everybody was late.",
                '"Stop, not one step more!" shouted{!warns} somebody in the mist.',
                "On one side of the water stood the mill, and on the other side stood{!describes} the bakery.",
                "After the great rain the stream was brown and wild{!weather}, and whole trees came swimming by.",
                "Every morning the children ran{!travels} over the water to school, and every evening they ran back.",
                "The postman stood{!waits} by the water with a full bag and did not know what to do.",
                "A cow was the last one to go over, and it was a very heavy cow{!describes}.",
            ),
            (
                "The old bridge was [broken|in two pieces]{!breaks}{#}, and nobody could get across.",
                "Where the bridge had been, there was only a hole{!breaks}{#} and a great deal of water.",
                "The bridge had fallen{!breaks}{#} down, and its planks were swimming away to the sea.",
                "Half of the bridge was gone{!breaks}{#}, and the other half was shaking.",
            ),
            (
                (
                    "{A} the {A.kind} stood on one side with {a:O.adj} {O}, and {B} the {B.kind} was "
                    "waiting{!waits} for it on the other."
                ),
                (
                    "That very day {A} the {A.kind} had to bring{!carries} {a:O.adj} {O} to {B}, {a:B.trait} "
                    "{B.kind} who was ill in bed."
                ),
                (
                    "It was the birthday of {B} the {B.kind}, and {A}, {a:A.trait} {A.kind}, had {a:O.adj} {O} "
                    "to give{!wants} to {B.him}."
                ),
                (
                    "Over there lived{!lives} {B} the {B.kind}. On this side lived {A} the {A.kind}, who had "
                    "promised{!promises} to bring {B} {a:O.adj} {O}."
                ),
            ),
            (
                '"Can you hear me, {B}?" {A} shouted{!asks}, and {B} shouted back, "Thursday!"',
                "{A} looked down at the water and felt {~afraid}{!feels}.",
                "{A} and {B} waved{!greets} to each other, and both of them felt {~sad}.",
                '"Now I can never come to tea again," said{!feels} {A}, who was {~sad}.',
                'On the far side {B} wrote{!writes} big letters in the sand: "Do not jump!"',
                "",
                "",
            ),
            (
                "First {A} tried to throw{!tries} the {O} across, but an owl told {A} not to.",
                (
                    "{A} tried{!fails} to walk across on two long poles and came out of the water with a frog "
                    "in each shoe."
                ),
                "{A} built a raft out of doors{!tries}, but the water took it away like a leaf.",
                "{B} pulled up a long ladder{!tries}, but it was exactly one step too short.",
                "{A} asked{!asks} a heron to fly over with the {O}, but the heron only laughed.",
            ),
            (
                "Then along came{!arrives} {C}, {a:C.trait} {C.kind} who had built bridges for kings.",
                "Then {A} saw the tall dead tree on the bank and had an idea{!thinks}.",
                "{C} the {C.kind} tied a thread to an arrow and shot{!helps} it over to {B}.",
                '"Why not mend it from both sides at once?" asked{!thinks} {C} the {C.kind}.',
                "Slowly {A} began to carry{!tries} stones, and on the other side {B} did the same.",
            ),
            (
                "All the people came{!helps} with planks, nails and doors, and even a cow helped to pull.",
                "{A} hammered on one side and {B} hammered{!mends} on the other, and they sang to keep time.",
                "For two days everybody sawed and hammered{!mends}, and the children brought {F}.",
                "Plank by plank the new bridge grew{!makes}, from both sides to the middle.",
            ),
            (
                "In the middle {A} and {B} met{!meets}, nose to nose, with one nail left.",
                "The last plank fit{!succeeds}, and {A} ran across before anyone could say stop.",
                "At sunset the bridge was whole again{!succeeds}, and {A} was the first to walk over it.",
                "An old cow went over first{!tries}, and the bridge held.",
            ),
            (
                (
                    "{A} and {B} sat down{!ends} in the middle, put the {O.adj} {O} between them and let their "
                    "feet hang over the water."
                ),
                '"Here is the {O}, one week late," said{!ends} {A}, and {B} was {~happy}.',
                "{A} and {B} drank{!eats} their tea at last, with {F}, and the {O} stood on the table.",
                "They hung{!celebrates} the {O.adj} {O} on the bridge for good luck, and everybody danced across.",
                (
                    '"A bridge has two ends{!teaches}," said {B}, "and so it needs two friends." Then they '
                    "shared{!eats} the {F}, and the {O} shone in the sun."
                ),
            ),
        ),
    ),
)
