"""Stories of people at home and in the village: what they learn, break, grow, hide and forgive."""

from __future__ import annotations

from loupe.engine.starter.world.plot import Plot

PLOTS: tuple[Plot, ...] = (
    Plot(
        name="learning_a_skill",
        genre="story",
        theme="learning a new skill",
        stages=(
            (
                "Near the {P} there lived{!lives} {a:A.trait} {A.kind} named {A}.",
                (
                    "There was once{!introduces} {a:A.trait} {A.kind} named {A}, who [collected spoons|slept with"
                    " one eye open|always wore two different socks|ate toast for supper]."
                ),
                '"Can you really not {K}?" {B} asked{!asks} {A} one {W} morning.',
                "It was {a:W} day{!weather}, and everyone was {K.ing}, everyone except {A}.",
                "Have you ever heard{!introduces} of {A}, the {A.trait} {A.kind} who lived near the {P}?",
                (
                    "All the neighbours were {K.ing}{!describes} that {W} morning, and {A} only watched them "
                    "through a hole in the fence."
                ),
                (
                    "On the wall of {A}'s house hung{!describes} a picture of someone {K.ing}, and under it stood"
                    " {A}, {a:A.trait} {A.kind}."
                ),
            ),
            (
                "More than anything, {A} wanted{!wants} to learn to {K}{#}.",
                "{A} had only one wish{!wants}, and that was to {K}{#} like the others.",
                '"I want{!wants} to learn to {K}{#}," {A} told [a spoon|the moon|the kettle|a sheep] every evening.',
                (
                    "The trouble was{!explains} that {A} had never learned to {K}{#}, and now {A.he} dreamed of "
                    "it every night."
                ),
                "This year, {A} decided{!wants}, {A.he} would learn to {K}{#} at last.",
            ),
            (
                "{A} tried{!tries} all alone behind the barn, where only [a hen|two ducks|a very old sheep] could see.",
                "The first try went wrong{!fails} in less time than a sneeze.",
                "On Monday {A} failed{!fails}, and on Tuesday {A.he} failed again.",
                "{A} looked at pictures of {K.ing}, but the pictures were no help{!fails} at all.",
                (
                    "The first lesson ended badly{!fails}, with a bump and a [torn sleeve|wet sleeve|lost "
                    "shoe|hole in the fence]."
                ),
                "{A.He} practised{!learns} until it grew dark, and nothing went right.",
            ),
            (
                "{A} felt{!feels} {~sad} and [kicked a stone|hid under the table|would not even eat {F}].",
                '"I shall never {K}," said{!speaks} {A}, who was {~sad}.',
                (
                    "After that {A} was so {~worried}{!feels} that {A.he} [counted spoons all night|stayed at "
                    "home for a week|put a bag over the mirror]."
                ),
                "That evening {A} sat{!rests} on the steps, {~tired} and covered in [flour|mud|dust|feathers].",
                "{A.He} threw {A.his} hat on the ground and was {~angry}{!feels} with the whole world.",
            ),
            (
                "Then {B}, {a:B.trait} {B.kind} from [next door|across the road], offered to help{!helps}.",
                "Just then {B} came by{!meets}, {a:B.trait} {B.kind} who could {K} better than anyone.",
                "{B}, {a:B.trait} {B.kind}, had seen it all from a window and came out to help{!helps}.",
                '"I could not {K} either when I was small," {B} explained{!explains}, and {A} looked up.',
                "So {A} knocked on {B}'s door and asked{!asks} for lessons. {B} [said yes|agreed]{!answers} at once.",
                "A friend named {B} heard about it and promised{!promises} to show {A} how to {K}.",
            ),
            (
                '"Go slowly, and do not look at [your feet|the clock|the sheep]," {B} advised{!explains}.',
                (
                    "Every day after breakfast, {B} [taught|showed]{!learns} {A} one small thing, and every day "
                    "{A} practised it [ten|twenty|a hundred] times."
                ),
                "They practised{!learns} {P.at}, they practised in the rain, and they even practised in their dreams.",
                "{B} hummed a slow tune, and {A} practised{!learns} until the tune and the {K.ing} went together.",
                "For three weeks {A} worked{!learns} hard, and {B} never once laughed.",
                '"Again," said{!speaks} {B}, and again, and again, until {A} was {~tired} but smiling.',
            ),
            (
                "And then, one {W} afternoon, {A} {K.past}{!succeeds} all alone!",
                (
                    "On the last day of the month it happened{!succeeds}: {A} {K.past} as if {A.he} had never "
                    "done anything else."
                ),
                '"Look at me, {B}, I am {K.ing}!" shouted{!succeeds} {A}.',
                "One morning {A} {K.past}{!succeeds} from breakfast until noon without a single mistake.",
                (
                    "It worked{!succeeds} at last, and {A} {K.past} so well that [a cow|the postman|the whole "
                    "street] stopped to look."
                ),
            ),
            (
                "{A} was {~happy}{!feels}, and {B} clapped until [the birds flew away|a flower pot fell down].",
                "{A} was {~grateful}{!feels} and gave {B} [some {F}|{a:O.adj} {O}].",
                '"Thank you{!thanks}, {B}," said {A}, and {A.he} felt {~happy}.',
                "They celebrated{!celebrates} with {F}, and {A} was {~happy}.",
                "{B} was just as {~happy}{!feels} as {A}, and they danced home through the puddles.",
            ),
            (
                "[Nobody|No one] learns{!teaches} to {K} in one day, but nearly everyone can learn.",
                "And the next spring, {A} taught{!ends} a small [snail|neighbour|cousin] to {K} too.",
                "That is how{!ends} {A} learned to {K}, one small step after another.",
                "Since then {A} has known{!teaches} that [a friend|a little patience] makes hard things easy.",
            ),
        ),
    ),
    Plot(
        name="quarrel_between_friends",
        genre="story",
        theme="a quarrel between friends",
        stages=(
            (
                "Two friends, {A} and {B}, lived{!lives} in the same street near the {P}.",
                (
                    "Everyone knew{!introduces} {A}, the {A.trait} {A.kind}, and {B}, the {B.trait} {B.kind}, "
                    "because they did everything together."
                ),
                '"We shall always be friends," {A} often told{!speaks} {B}.',
                "One {W} afternoon, {A} and {B} played{!plays} {P.at}.",
                "It began{!describes} on {a:W} day, when {A}, {a:A.trait} {A.kind}, was visiting {B}.",
                (
                    "Have you met{!introduces} {A} and {B}, the {A.kind} and the {B.kind} who shared one [front "
                    "door|garden|big umbrella]?"
                ),
            ),
            (
                "Then, under a [bench|bush|heap of leaves], they found{!finds} {a:O.adj} {O}.",
                "Together they owned{!owns} {a:O.adj} {O}, and each of them loved it.",
                "That day the postman brought{!arrives} {a:O.adj} {O}, but there was no name on it.",
                "Both of them liked{!likes} the same thing best, and that was the {O.adj} {O}.",
                "In the middle of the room stood{!describes} {a:O.adj} {O}.",
            ),
            (
                '"It is mine," said{!speaks} {A}. "No, it is mine," said {B}, and so the quarrel{!quarrels}{#} began.',
                (
                    "{A} pulled at one side of the {O} and {B} pulled at the other, and soon they were "
                    "shouting{!quarrels}{#}."
                ),
                "They could not agree{!quarrels}{#} who should keep the {O}, and their voices grew louder and louder.",
                "{B} shouted that {A} always took the best things, and a quarrel{!quarrels}{#} began over the {O}.",
                "{A} wanted the {O} and {B} wanted it too, and before tea they were quarrelling{!quarrels}{#}.",
            ),
            (
                (
                    "{B} was so {~angry}{!feels} that [the cups shook|a picture fell off the wall|the ducks left "
                    "the pond]."
                ),
                "{A} stamped one foot and said{!speaks} a word that is not in any book.",
                '"I shall never visit you again!" cried{!leaves} {B}, and slammed the door.',
                "{A} was {~angry}{!feels}, and {B} was even more {~angry}.",
                "{B} took{!takes} the {O} and ran home with it, and {A} was {~angry}.",
                "{A} drew{!makes} a white line down the middle of the street, and nobody was allowed to step over it.",
            ),
            (
                "For three days they did not speak{!waits}, and the street was very quiet.",
                "At home {A} ate{!eats} {F} all alone, and the {F} tasted of nothing.",
                "{A} tried to play{!plays} alone, but it is hard to play hide and seek with a [chair|broom|turnip].",
                "The next morning {B} sat{!waits} by the window and felt {~sad}.",
                "Nobody knocked on {A}'s door, and {A} felt{!feels} {~sad}.",
                "In the evening {A} was {~bored}{!feels}, and even the clock seemed to tick more slowly.",
            ),
            (
                (
                    "Then {A} remembered{!remembers} how {B} had once carried {A.him} home [in a wagon|through "
                    "the snow|all the way from the {Q}]."
                ),
                "{A} thought{!thinks} about it all night and began to feel {~sorry}.",
                '"What is {a:O} without a friend?" thought{!thinks} {A}, and {A.he} felt {~sorry}.',
                "Slowly {A} understood{!thinks} that {A.he} missed {B} more than any {O}.",
                "{A.He} looked{!remembers} at an old picture of the two of them, and {A} felt {~sorry}.",
            ),
            (
                "So {A} went to {B}'s house and apologised{!apologises}.",
                '"I feel {~sorry}{!apologises} about the things I said," {A} told {B}.',
                (
                    '{A} wrote{!apologises} "Please forgive me" on a [plate|pumpkin|paper boat] and left it at '
                    "{B}'s door."
                ),
                "{A} knocked three times, took a deep breath and apologised{!apologises} to {B}.",
                "They met on the bridge, and both of them apologised{!apologises} at the very same moment.",
            ),
            (
                "{B} laughed and forgave{!forgives} {A} at once.",
                '"I missed you too," said{!forgives} {B}, who was {~happy}.',
                "{B} opened the door and forgave{!forgives} {A} with a long hug.",
                '"It is all forgotten," {B} answered{!forgives}, and {A} was {~happy} again.',
                "{B} said nothing, but put two cups on the table, and that meant{!forgives} yes.",
            ),
            (
                "From then on{!ends} the {O} stayed with {A} in the mornings and with {B} in the afternoons.",
                "Later they gave{!gives} the {O.adj} {O} to [a baby mouse|the school|the postman].",
                "A friend is worth{!teaches} more than any {O}.",
                "They put{!ends} the {O} exactly in the middle, and ate {F} beside it.",
                "Even good friends quarrel, but good friends also make up{!teaches}.",
            ),
        ),
    ),
    Plot(
        name="something_mended",
        genre="story",
        theme="mending something broken",
        stages=(
            (
                "On a shelf in {B}'s house stood{!describes} {a:O.adj} {O}.",
                (
                    "The dearest thing that {B} owned{!owns} was {a:O.adj} {O}, which had once belonged to "
                    "{B.his} grandmother."
                ),
                "Who does not remember{!describes} the day of the {O.adj} {O} in {B}'s house?",
                "One {W} morning, {A}, {a:A.trait} {A.kind}, came to visit{!arrives} {B}, who had {a:O.adj} {O}.",
                '"Please be careful with my {O}," {B} always warned{!warns} visitors.',
                "In a small house near the {P} lived{!lives} {B}, {a:B.trait} {B.kind}, with {a:O.adj} {O}.",
            ),
            (
                "{A} only wanted to look at the {O}, but it slipped and broke{!breaks}.",
                (
                    "There was a loud noise, and then {A} saw that the {O} was broken{!breaks} into "
                    "[two|three|five] pieces."
                ),
                "{A} sneezed, stumbled over a [cat|broom|turnip], and broke{!breaks} the {O}.",
                "It was {A} who had done it: {A}, {a:A.trait} {A.kind}, had broken{!breaks} the {O}.",
                "While {A} was dusting the room, the {O} [cracked|snapped|broke]{!breaks} in the middle.",
            ),
            (
                "{A} felt{!feels} {~sorry} and could not say a word.",
                '"Oh no, what have I done?" cried{!speaks} {A}, who was {~worried}.',
                "{B} looked at the pieces of the {O} and was {~sad}{!feels}.",
                "{A} was so {~afraid}{!feels} of what {B} would say that {A.his} [hat|nose|voice] shook.",
                "For a moment {B} was {~angry}{!feels}, and {A} looked at the floor.",
            ),
            (
                '"I will mend{!promises} it{#}," {A} promised.',
                "But {A} did not run away, and promised{!promises} to mend the {O}{#}.",
                '"Broken things can be mended{!thinks}{#}," said {A} at last.',
                "Then {A} had an idea{!thinks}: perhaps the {O} could be mended{#}.",
                '"Give me one day," {A} asked{!asks} {B}, "and I will make it whole again{#}."',
            ),
            (
                "{A} carried{!carries} every piece to {A.his} [table|workshop|kitchen] in an old sock.",
                "All the pieces went into a bag, and {A} carried{!carries} it {P.to} to ask for advice.",
                (
                    "First {A} searched{!searches} the floor for the smallest piece, and found it in a "
                    "[slipper|bowl of {F}|mouse hole]."
                ),
                "{A} borrowed{!asks} a hammer, a needle and a pot of glue from the [clockmaker|shepherd|neighbours].",
                "{A} looked at the pieces for a long time and made{!makes} a drawing of the {O}.",
            ),
            (
                "The first glue was too weak, and the {O} fell apart{!fails} again.",
                "{A} tried{!tries} honey, then string, then both, and got very sticky.",
                "All night long {A} worked{!mends} on the {O} by the light of a candle.",
                "Once {A} put the {O} together upside down, and that was a mistake{!fails}.",
                "{A} was {~tired}{!feels}, but the {O} was not finished, so {A.he} went on.",
                "{A.He} worked{!tries} so carefully that even the clock seemed to tick more quietly.",
            ),
            (
                "In the morning the {O} was whole again: {A} had mended{!mends} it.",
                "At last the last piece fitted, and the {O} was mended{!mends}.",
                "When the sun came up, {A} tied the last knot, and the {O} was mended{!mends}.",
                "One drop of gold paint covered the crack, and the {O} was mended{!mends} at last.",
            ),
            (
                "{A} brought{!gives} the {O} back to {B} and waited.",
                "With a red face, {A} gave{!gives} the {O} back to {B}.",
                "{B} turned the {O} around and around and was {~surprised}{!feels}.",
                '"You can hardly see it," said{!speaks} {B}, who was {~surprised}.',
                "{B} looked{!discovers} closely at the {O} and found a tiny heart that {A} had painted over the crack.",
            ),
            (
                '"I like{!likes} it better than before," said {B}, and {A} was {~happy}.',
                "{B} forgave{!forgives} {A}, and they ate {F} together.",
                "{B} was {~happy}{!feels}, and the {O} went back to its old place on the shelf.",
                "A mended thing has a story to tell{!teaches}, and that makes it dearer.",
                "After that{!ends}, everyone brought their broken things to {A}.",
                "It is no shame to break a thing, if you stay and mend{!teaches} it.",
            ),
        ),
    ),
    Plot(
        name="trick_goes_wrong",
        genre="story",
        theme="a trick that goes wrong",
        stages=(
            (
                "Nobody {P.at} liked{!likes} jokes more than {A}, {a:A.trait} {A.kind}.",
                "It was {a:W} morning{!weather}, and {A} had nothing to do.",
                (
                    '"Today I shall make everyone jump," said{!speaks} {A}, {a:A.trait} {A.kind}, to [the '
                    "mirror|a boiled egg|the teapot]."
                ),
                (
                    "There lived{!lives} near the {P} {a:A.trait} {A.kind} named {A}, who had once put a frog in "
                    "a [teapot|church bell|drawer]."
                ),
                "Behind a hedge, {A}, {a:A.trait} {A.kind}, sat giggling{!describes}.",
                "On a long {W} afternoon, {A} was {~bored}{!feels}.",
            ),
            (
                "{A.He} wanted to play a trick{!thinks}{#} on {B}, the {B.trait} {B.kind}.",
                "Then {A} had an idea{!thinks} for a trick{#} on {B}.",
                "{A} decided to fool{!thinks} {B}, who believed everything{#}.",
                "Nobody was easier to fool than {B}, {a:B.trait} {B.kind}, so {A} made a plan{!thinks}{#}.",
                '"I will play a trick{!tricks}{#} on {B}," whispered {A}, and {A.he} giggled.',
            ),
            (
                "{A} covered{!tricks} the {O} with [honey|green paint|flour] and left it where {B} would find it.",
                "First {A} hid{!hides} {B}'s {O} in a [tree|barrel|heap of hay].",
                "{A} tied{!tricks} a long string to the {O.adj} {O} and put it in the road.",
                "Very quietly, {A} put{!tricks} {a:O.adj} {O} on top of {B}'s door.",
                '{A} wrote{!writes} a letter to {B}: "There is treasure {P.at}, so bring {a:O.adj} {O}."',
                "{A} took a white sheet and {a:O.adj} {O} and dressed up{!tricks} as a monster.",
            ),
            (
                "Then {A.he} hid{!hides} behind a [barrel|bush|wall] and waited.",
                "{A} waited{!waits} so long that a spider began to build a web on {A.his} hat.",
                "Soon steps could be heard{!arrives}, and {A} held {A.his} breath.",
                "{A} could hardly keep from laughing and crept{!hides} into the bushes.",
                '"Here comes {B}," whispered{!speaks} {A}, trying not to laugh.',
            ),
            (
                (
                    "But it was not {B} who came{!arrives}: it was [the mayor with a cake|a goat with a bad "
                    "temper|the captain and nine hens]."
                ),
                "But {B} [stopped to tie a shoe|had stayed in bed|went the other way], and it all went wrong{!fails}.",
                "But the wind blew, the {O} flew up, and the trick went wrong{!fails}.",
                "But just then {A} slipped and fell{!fails} straight into {A.his} own trap.",
                "But {A} forgot where {A.he} had put the {O}, stepped back, and fell{!fails} over it.",
            ),
            (
                "There was a crash, and {A} sat{!fails} in the mud with the {O} on {A.his} head.",
                (
                    "[Splash, bump|Crash, bump|Bump, bump, bump], and a moment later {A} was stuck{!danger} in a "
                    "barrel and could not get out."
                ),
                "Flour, feathers and {F} rained{!fails} down on {A}.",
                "{A} rolled{!fails} down the hill, through a fence and into the duck pond.",
                "Now it was {A} who was wet from top to toe, and {A.he} was {~surprised}{!feels}.",
            ),
            (
                "{B} heard the noise, came running and pulled{!rescues} {A} out.",
                '"What happened to you?" asked{!asks} {B}, who was {~worried}.',
                "When {B} saw it all, {B.he} laughed{!speaks} until the windows shook.",
                "{B} was {~surprised}{!feels} to find {A} there with the {O}.",
                "{B} picked{!helps} the feathers out of {A}'s collar, one by one.",
            ),
            (
                "{A} turned red and told{!explains} {B} the whole story.",
                '"It was meant for you," {A} admitted{!apologises} to {B}, feeling {~sorry}.',
                "{A} felt{!feels} {~sorry} and said so.",
                '"I had planned a trick," {A} confessed{!explains}, "but the trick was on me."',
                "{A} apologised{!apologises} to {B} and gave back the {O}.",
            ),
            (
                "Then both of them laughed{!forgives} until they were {~tired}.",
                "{B} forgave{!forgives} {A}, and they shared some {F}.",
                "A trick has two ends{!teaches}, and one of them points at you.",
                "After that{!ends}, {A} only told jokes with no string and no honey in them.",
                "If you set a trap, look{!teaches} where you put your own feet.",
                '"Next time," said {B}, "we shall play{!plays} one together," and {A} was {~happy}.',
            ),
        ),
    ),
    Plot(
        name="growing_a_plant",
        genre="story",
        theme="growing something in the garden",
        stages=(
            (
                "In a corner of the garden, {A}, {a:A.trait} {A.kind}, found{!finds} a seed no bigger than a tooth.",
                "One spring morning, the wind dropped{!arrives} a seed on {A}'s hat.",
                '"What is this?" asked{!asks} {A}, {a:A.trait} {A.kind}, and held a round seed up to the light.',
                (
                    "Behind the house of {A}, the {A.trait} {A.kind}, there was{!describes} a piece of ground "
                    "where nothing grew but stones."
                ),
                "At the market {A} bought{!sells} one seed, because it was the last one in the jar.",
                "Winter was over{!weather}, and {A}, {a:A.trait} {A.kind}, opened the garden gate.",
                "Under the {O.adj} {O}, {A} found{!finds} a single brown seed.",
            ),
            (
                "{A} wanted{!wants} to grow something{#} taller than [the house|the church|a giant].",
                "So {A} dug a hole with a spoon and planted{!plants} a seed{#}.",
                "{A} made a little bed of earth and planted{!plants} a seed{#} right in the middle.",
                "That same day {A} planted{!plants} a seed{#} between two stones and sang to it.",
                "The earth was soft after the rain, and {A} planted{!plants} a seed{#} beside the wall.",
            ),
            (
                "Every day {A.he} carried{!carries} water from the {P}, and every day nothing happened.",
                "{A} watered the place each evening and waited{!waits}.",
                "{A.He} waited{!waits} a week, and then another week, and saw only mud.",
                "To keep the birds away, {A} hung{!makes} {a:O.adj} {O} on a stick.",
                (
                    '"Come up, little one," {A} told{!speaks} the ground [in three languages|before every '
                    "meal|every morning at six]."
                ),
            ),
            (
                (
                    '"Nothing will ever grow there," said{!speaks} {B}, {a:B.trait} {B.kind}, who was leaning on '
                    "the fence."
                ),
                "{B}, {a:B.trait} {B.kind} from next door, laughed and warned{!warns} that the ground was too hard.",
                "{A} began to feel{!feels} {~worried}, and asked {B}, {a:B.trait} {B.kind}, what was wrong.",
                "Then {B}, {a:B.trait} {B.kind}, came by and gave{!gives} {A} a bucket of good black earth.",
                (
                    "{A} nearly gave up, but {a:B.trait} {B.kind} named {B} told{!explains} {A.him} that seeds "
                    "can not be hurried."
                ),
            ),
            (
                "One {W} morning there was a green leaf{!grows} as small as a button.",
                "Then, after {a:W} night, something green came up{!grows}.",
                "On the twentieth day the ground cracked, and a green tip looked out{!grows}.",
                (
                    "A week later {A} saw two leaves{!grows}, and {A} was so {~excited} that {A.he} forgot to put"
                    " on shoes."
                ),
                "At last a stalk came up{!grows}, as thin as a thread, and {A} was {~happy}.",
            ),
            (
                "But the next night a storm came{!danger}, and the little plant bent to the ground.",
                "But a fat slug came{!danger} along and looked at the leaves for a long time.",
                "Then came a hot, dry week{!danger}, and the leaves began to hang down.",
                "But a goat looked over the wall{!danger}, and it was a hungry goat.",
                "One evening a hard frost came{!danger}, and {A} was {~afraid} for the plant.",
            ),
            (
                "{A} ran out and covered{!rescues} the plant with a [hat|blanket|soup pot].",
                "All night {A} and {B} held{!rescues} an umbrella over the plant.",
                "{A} tied{!rescues} the stalk to {a:O.adj} {O}, so that it stood up straight again.",
                "{B} came to help{!helps}, and together they built a little house of glass around the plant.",
                "{A} sat{!waits} beside the plant until morning, {~tired} but {~hopeful}.",
            ),
            (
                "By summer the plant had grown{!grows} over the roof, with flowers as big as plates.",
                "It grew{!grows} and grew, and in August it was full of yellow flowers.",
                "In autumn it had grown{!grows} so tall that {B} needed a ladder to see the top.",
                "One warm day the first flower opened{!grows}, and bees came from as far away as the {Q}.",
            ),
            (
                '"I was wrong," {B} admitted{!apologises}, and {A} was {~happy}.',
                "{A} was {~happy}{!feels} and gave seeds to everyone {P.at}.",
                "They sat in its shade and ate{!eats} {F}, and {A} felt {~calm}.",
                "{A} put one new seed away{!ends} for the spring.",
                "Good things grow slowly{!teaches}, and they need somebody who waits.",
                "{A} sat under the leaves and fell asleep{!rests}.",
            ),
        ),
    ),
    Plot(
        name="cooking_for_a_feast",
        genre="story",
        theme="cooking for a feast",
        stages=(
            (
                '"The feast is tomorrow!" called{!speaks} the postman in every street.',
                "Once a year there was a great feast{!celebrates} {P.at}.",
                "Smoke came{!describes} out of every chimney {P.at}, because tomorrow was the day of the feast.",
                (
                    "On {a:W} evening, {A}, {a:A.trait} {A.kind}, read{!discovers} a note on the door: there "
                    "would be a feast."
                ),
                (
                    "The long tables were already standing{!describes} {P.at}, and {A}, {a:A.trait} {A.kind}, "
                    "counted the plates."
                ),
                "It was {a:W} morning{!weather}, two days before the great feast.",
            ),
            (
                "Everyone had to bring something, and {A} was asked{!asks} to bring {F}{#} for a hundred guests.",
                "This time {A} had promised{!promises} to make the {F}{#} for everyone.",
                '"I will bring the {F}{#}," {A} promised{!promises}, "enough for us all."',
                "{A} wanted{!wants} to prepare the best {F}{#} that anyone had ever tasted.",
                "{A}, who had never cooked for more than two, was chosen{!asks} to prepare the {F}{#}.",
            ),
            (
                "{A} stirred{!makes} and tasted and stirred again until the windows were white with steam.",
                "{A} was {~worried}{!feels}, because the biggest pot in {A.his} kitchen was the size of a hat.",
                "{A.He} was so {~excited}{!feels} that {A.he} got up before the birds.",
                "In the kitchen {A} put on a white apron and began{!makes} to work.",
                "{A} wrote{!writes} a list so long that it reached from the table to the door.",
                "First {A} looked for the old recipe and found{!finds} it [under a cat|in a boot|inside a clock].",
            ),
            (
                "Then something terrible happened{!fails}: {A} had taken the salt instead of the sugar.",
                "But {A} sat down for one moment and fell asleep{!rests}, and the fire went out.",
                "But then the table broke{!breaks}, and half of the {F} landed on the floor.",
                "But when {A} turned around, [a fox|a goat|two geese] had eaten{!takes} half of the {F}.",
                "A black cloud came{!danger} out of the oven, and {A} was {~afraid} to look.",
            ),
            (
                '"The feast is lost," cried{!speaks} {A}, who was {~sad}.',
                "{A} sat down{!feels} on a sack of potatoes and felt {~sad}.",
                '"There is not enough for everyone," said{!speaks} {A} in a small voice, feeling {~worried}.',
                "{A} looked at the clock and was {~worried}{!feels}, for the guests were coming at six.",
            ),
            (
                "Then {B}, {a:B.trait} {B.kind}, looked in at the window and came to help{!helps}.",
                (
                    "There was a knock, and {B}, {a:B.trait} {B.kind}, stood{!arrives} at the door with a spoon "
                    "in each hand."
                ),
                '"Two can work faster than one," said{!helps} {B}, {a:B.trait} {B.kind} from next door.',
                "So {A} ran to {B}, {a:B.trait} {B.kind}, and asked{!asks} for help.",
                "Luckily {B}, {a:B.trait} {B.kind}, had brought{!gives} more {F} in a wagon.",
            ),
            (
                "{A} and {B} worked{!makes} all night, and by morning the {F} smelled wonderful.",
                "{B} added a secret spice, {A} added a little butter, and they started{!tries} again.",
                "Side by side {A} and {B} filled{!makes} every pot, every bowl and even {a:O.adj} {O}.",
                "{A} cooked{!makes}, and {B} told stories so that neither of them would fall asleep.",
                "They carried{!carries} everything {P.to} just as the first guests sat down.",
            ),
            (
                "The guests ate{!eats} and ate, and nobody left a crumb of the {F}.",
                '"More {F}, please!" called{!asks} everyone, and {A} was {~happy}.',
                "At the feast an old sailor ate{!eats} nine helpings and asked to marry the cook.",
                "They all ate{!eats} until the moon was high, and {A} was {~tired} and {~happy}.",
                "For a long time it was quiet, because everybody was eating{!eats} {F}.",
            ),
            (
                "{A} thanked{!thanks} {B}, and they danced on the table.",
                '"Next year we cook together again," {A} told{!ends} {B}.',
                "Food tastes best{!teaches} when two have made it and many share it.",
                "{A} gave{!gives} the very last of the {F} to {B}.",
                "And that was{!ends} the best feast that anyone {P.at} could remember.",
            ),
        ),
    ),
    Plot(
        name="welcoming_a_newcomer",
        genre="story",
        theme="making a newcomer welcome",
        stages=(
            (
                "On {a:W} morning a wagon stopped{!arrives} {P.at}, and {B} climbed down.",
                "One {W} day a stranger came{!arrives} to the village: {B}, {a:B.trait} {B.kind} with one small bag.",
                "Who had moved{!asks} into the empty house near the {P}?",
                "The empty house near the {P} had a light{!discovers} in its window again.",
                "It was raining{!weather} when {B}, {a:B.trait} {B.kind}, arrived with {a:O.adj} {O} and no umbrella.",
                '"Somebody new has come{!arrives}!" shouted the children {P.at}.',
            ),
            (
                "It was {B}, a newcomer who knew nobody and was too {~worried}{!feels}{#} to say hello.",
                "{B} had come{!explains} from far away and did not know a single name in the village{#}.",
                "The newcomer, whose name was {B}, closed the door and hid{!hides}{#} behind the curtain.",
                "The newcomer was called{!introduces} {B}, and {B} had never lived in a village before{#}.",
                "{B} was new, and being new is lonely{!explains}{#}.",
            ),
            (
                "All day {B} sat{!waits} in the kitchen beside {a:O.adj} {O} and felt {~homesick}.",
                "{B} looked{!describes} out of the window while the others played, and felt {~sad}.",
                "At night {B} thought{!remembers} of the old house far away and was {~homesick}.",
                "In the shop {B} opened {B.his} mouth, but no word came out{!fails}.",
                "{B} unpacked a cup, a spoon and {a:O.adj} {O}, and felt{!feels} {~homesick}.",
            ),
            (
                (
                    'People {P.at} began to talk{!speaks}. "Perhaps the new neighbour is a [spy|giant|king]," '
                    "they said{!speaks}."
                ),
                '"Why does {B} never speak to us?" the neighbours asked{!asks}.',
                "Some said that {B} slept in a bath, but nobody knew{!describes} anything at all.",
                "The others shrugged and went on with their games{!plays}.",
                "Every morning {B} swept{!describes} the steps, and every morning no one stopped to talk.",
            ),
            (
                "But {A}, {a:A.trait} {A.kind} from across the road, wanted{!wants} to know more.",
                "Only {A}, {a:A.trait} {A.kind}, remembered{!remembers} how it feels to be new.",
                "Then {A}, {a:A.trait} {A.kind}, had an idea{!thinks} and put {F} into a basket.",
                "But {a:A.trait} {A.kind} named {A} saw{!discovers} a small face at the window and understood.",
                '"I shall go and say hello," said{!thinks} {a:A.trait} {A.kind} named {A}.',
            ),
            (
                "{A} knocked on the door and gave{!gives} {B} some {F}.",
                '"Welcome!" said{!greets} {A}, when {B} opened the door a little.',
                "{A} sat down on {B}'s steps and waited{!waits}, whistling a tune.",
                '{A} pushed a note under the door, and on it was written{!writes}: "Do you like {F}?"',
                "{A} knocked, and then {A.he} greeted{!greets} {B} with a deep bow and fell over.",
            ),
            (
                "Slowly {B} came out and answered{!answers} in a whisper.",
                "{B} was {~surprised}{!feels}, and after a while {B.he} smiled.",
                '"I like {F}," said{!answers} {B}, and it was the first thing anyone had heard {B.him} say.',
                "{B} laughed{!speaks}, and then the two of them talked until the lamps were lit.",
                "{B} showed{!plays} {A} {a:O.adj} {O}, and soon they were playing with it.",
            ),
            (
                "The next day {A} took{!meets} {B} along to meet the others {P.at}.",
                "{A} showed{!explains} {B} where the best berries grew and which dog not to wake.",
                "Then {B} did something nobody expected and {K.past}{!discovers} better than anyone in the village.",
                "It turned out that {B} could {K}, and everyone wanted{!asks} to learn it too.",
                "Soon all the neighbours came{!meets} to {B}'s house with chairs and cakes.",
            ),
            (
                '"Now I am at home," said{!speaks} {B}, who was {~happy}.',
                "{B} was {~grateful}{!feels} and gave {A} {a:X.adj} {X}.",
                "A stranger is only a friend who has not yet been asked in{!teaches}.",
                "By winter nobody could remember{!ends} the village without {B}.",
                "And when the next newcomer came, it was {B} who knocked{!ends} on the door with some {F}.",
            ),
        ),
    ),
    Plot(
        name="trade_at_the_market",
        genre="story",
        theme="a trade at the market",
        stages=(
            (
                "On market day the streets smelled{!describes} of {F} and wet straw.",
                "Early on {a:W} morning, {A}, {a:A.trait} {A.kind}, set out{!travels} for the market.",
                '"Fresh {F}, loud hens, hats for every head!" called the sellers{!sells} at the market.',
                "It was market day{!describes}, and {A}, {a:A.trait} {A.kind}, had no money at all.",
                "What can you buy{!asks} with no money and {a:O.adj} {O}?",
                "Along the road to the market came{!travels} {A}, {a:A.trait} {A.kind}, with {a:O.adj} {O}.",
                "Under one arm {A}, {a:A.trait} {A.kind}, carried{!carries} {a:O.adj} {O} to the market.",
            ),
            (
                "{A} had only {a:O.adj} {O} and hoped to trade{!wants}{#} it for something better.",
                '"I will trade{!wants}{#} my {O} for something I really need," said {A}.',
                "The {O.adj} {O} was all that {A} had, and {A.he} wanted to trade{!wants}{#} it.",
                "Nobody had used {A}'s {O} for years, so {A.he} wanted to trade{!wants}{#} it.",
                "{A} had {a:O.adj} {O} to trade{!wants}{#}, but nobody even looked at it.",
            ),
            (
                "First {A} asked{!asks} a baker, but the baker only wanted [a broom|a goose|eggs].",
                "An old sailor looked at the {O}, shook his head and refused{!refuses}.",
                '"What would I do with {a:O}?" said{!refuses} the woman who sold eggs.',
                "{A} walked{!searches} past the hats, past the hens and past a man who sold holes.",
                "A farmer offered{!sells} three turnips for the {O}, and {A} said no.",
                "{A} waited{!waits} beside the cheese until noon and began to feel {~bored}.",
            ),
            (
                "Then, on the very last table, {A} saw{!finds} {a:X.adj} {X}.",
                "But there, between a lamp and a sleeping cat, was{!finds} {a:X.adj} {X}.",
                "At the end of the row {A} discovered{!finds} {a:X.adj} {X}, and {A.he} stopped at once.",
                "Suddenly {A} saw{!finds} just what {A.he} had always wanted: {a:X.adj} {X}.",
                "Something caught the light, and {A} turned and saw{!finds} {a:X.adj} {X}.",
            ),
            (
                "The {X} belonged{!owns} to {B}, {a:B.trait} {B.kind} who was eating {F} behind the table.",
                "Behind the table sat{!meets} {B}, {a:B.trait} {B.kind} with a feather behind one ear.",
                '"Do not touch it," warned{!warns} {B}, {a:B.trait} {B.kind}, "unless you mean to buy it."',
                "It was {B} who had brought{!owns} the {X} to the market, {B}, the {B.trait} {B.kind}.",
                "The owner{!owns} of the {X} was {B}, {a:B.trait} {B.kind} who could count in nine languages.",
            ),
            (
                '"My {O} for your {X}," {A} offered{!sells}.',
                "{A} put the {O} on the table and asked{!asks} {B} for the {X}.",
                '"Would you take my {O} for that {X}?" {A} asked{!asks} {B}.',
                "{A} pointed at the {X}, held up the {O}, and asked{!asks} {B} to trade.",
            ),
            (
                "{B} [knocked on|smelled|looked under|listened to] the {O} and thought{!thinks} for a long time.",
                '"Your {O} is too old," {B} answered{!refuses}, and {A} was {~sad}.',
                "{B} wanted{!asks} the {O} and a song as well, so {A} sang the longest song {A.he} knew.",
                "{B} laughed and asked{!asks} for the {O} and some {F} too.",
                '"Tell me one thing that your {O} has seen," said{!asks} {B}, and {A} told a story about a storm.',
                "{B} shook {B.his} head{!refuses}, and then {B} looked at the {O} again.",
            ),
            (
                "At last they shook hands: {B} took the {O}, and {A} took the {X}{!sells}.",
                '"Done!" said {B}, and so the {O} was traded{!sells} for the {X}.',
                "So {A} traded{!sells} the {O} for the {X}, and both of them were {~happy}.",
                "In the end {B} agreed{!sells}, and the {O.adj} {O} changed places with the {X.adj} {X}.",
                "The {O} went to {B}, the {X} went to {A}, and the trade was done{!sells}.",
            ),
            (
                "{A} carried{!returns} the {X} home and was {~happy}.",
                "{B} had wanted{!explains} {a:O} for years, and {A} had wanted {a:X} just as long.",
                "All the way home {A} held{!carries} the {X} in front of {A.him} like a cake with candles.",
                "That night {B} slept{!ends} with the {O} beside the bed.",
                "What one person does not need, another has been looking for{!teaches}.",
                "The next week {B} invited{!asks} {A} to supper, and they became friends.",
            ),
        ),
    ),
    Plot(
        name="lie_comes_out",
        genre="story",
        theme="a lie that comes out",
        stages=(
            (
                "There was nobody at home when {A}, {a:A.trait} {A.kind}, came{!arrives} to visit {B}.",
                "In a house near the {P}, {B}, {a:B.trait} {B.kind}, owned{!owns} {a:O.adj} {O}.",
                '"Take good care of my {O}," {B} told{!warns} {A}, {a:A.trait} {A.kind}.',
                "While {B}, {a:B.trait} {B.kind}, was away, {A} played{!plays} with {B}'s {O.adj} {O}.",
                "On {a:W} afternoon {A}, {a:A.trait} {A.kind}, was alone{!describes} in {B}'s kitchen.",
                (
                    "In the house of {B}, the {B.trait} {B.kind}, {A} saw{!finds} {a:O.adj} {O} and could not "
                    "leave it alone."
                ),
            ),
            (
                "{A} climbed on a chair to see better, and {B}'s {O} fell and broke{!breaks}.",
                "{A} took {B}'s {O} {P.to}, and there {A.he} lost{!loses} it.",
                "{A} dropped {B}'s {O} into the [soup|well|fire], and it was gone{!loses}.",
                "One careless step, and {A} had broken{!breaks} {B}'s {O}.",
                "{A} ran through the rain with {B}'s {O}, and it was ruined{!breaks}.",
            ),
            (
                '"It was a goose," {A} lied{!tricks}{#}, when {B} came home.',
                "When {B} asked about the {O}, {A} told a lie{!tricks}{#} and blamed a goose.",
                "{A} was {~afraid} of the truth and told {B} a lie{!tricks}{#}: a goose had done it.",
                '"A goose came in through the window and did it," {A} lied{!tricks}{#} to {B}.',
                (
                    "Then {B} came in, and before {A} could stop it, a lie{!tricks}{#} jumped out of {A.his} "
                    'mouth: "It was a goose."'
                ),
            ),
            (
                "{B} believed it and went out to look{!searches} for the goose.",
                '"How strange," said{!speaks} {B}, and looked at {A} for a long time.',
                "{B} was {~sad}{!feels} about the {O}, but {B.he} believed every word.",
                "{B} was {~angry}{!feels} and bought a big lock to keep out geese.",
                "{B} thanked{!thanks} {A} for the news and poured {A.him} a cup of tea.",
            ),
            (
                "The lie sat in {A}'s stomach{!feels} like a cold stone.",
                "That night {A} could not sleep{!feels} and was {~worried}.",
                "One lie needs another, and soon {A} had told{!tricks} three.",
                "Every time {A} met{!meets} {B}, {A.he} looked at the ground.",
                "At supper {A} could not eat{!feels} {A.his} {F}, not even one bite.",
                "The [clock|picture on the wall] seemed to stare at {A}, who was {~worried}{!feels}.",
            ),
            (
                "Then {B} found{!finds} a piece of the {O} [under a rug|in {A}'s pocket|behind the stove].",
                "But a neighbour had been at the window, and told{!discovers} {B} what had happened.",
                "Then {B} remembered{!remembers} that the goose had been asleep {P.at} all day.",
                "But a small brother of {A} had seen everything and told{!discovers} everyone {P.at}.",
                "The next morning {B} noticed{!discovers} that the story was a different one every time.",
            ),
            (
                '"You lied to me," said{!discovers} {B}, and {A} turned red.',
                '"Please tell me the truth," {B} asked{!asks} {A}.',
                "{B} did not shout, but looked{!asks} at {A} and waited.",
                "So the lie came out{!discovers}, and {B} was {~angry}.",
                "{B} asked{!asks} one quiet question, and {A} began to cry.",
            ),
            (
                '"It was me," {A} confessed{!apologises}, "and I feel {~sorry}."',
                "Then {A} told the whole truth{!explains} and felt {~sorry}.",
                "{A} felt {~sorry}{!apologises} and told {B} everything, from the beginning to the end.",
                "{A} apologised{!apologises} to {B} and also to the goose, which was only fair.",
            ),
            (
                '"I can get another {O}, but not another friend," said{!forgives} {B}.',
                "{B} forgave{!forgives} {A}, and {A} felt as light as a feather.",
                "{B} was quiet for a while and then forgave{!forgives} {A}.",
                "For a month {A} swept the floor for {B}, and then it was forgiven{!forgives}.",
                "{A} gave{!gives} {B} {a:X.adj} {X} in place of the {O}, and {B} smiled.",
            ),
            (
                "A lie runs fast, but the truth catches{!teaches} it in the end.",
                "The truth is hard to say once{!teaches}, but a lie must be told again and again.",
                "That night {A} slept{!rests} better than {A.he} had slept all week.",
                "After that, {A} never told{!ends} a lie again, except about the taste of {B}'s {F}.",
                "And {A} never blamed{!ends} a goose again.",
            ),
        ),
    ),
    Plot(
        name="birthday_surprise",
        genre="story",
        theme="a birthday surprise",
        stages=(
            (
                '"Do you know what day it is tomorrow?" {A} whispered{!asks} to the neighbours.',
                "In three days {B}, the {B.trait} {B.kind}, would be [seven|ten|a hundred] years old{!introduces}.",
                "On the calendar in {A}'s kitchen there was{!describes} a red ring around one day.",
                (
                    "Paper stars were hanging{!describes} in a tree {P.at}, and {A}, {a:A.trait} {A.kind}, was "
                    "cutting more."
                ),
                "On {a:W} morning {B}, {a:B.trait} {B.kind}, talked{!speaks} of nothing but cake.",
                (
                    "One {W} evening {A}, {a:A.trait} {A.kind}, counted{!discovers} the days on {A.his} fingers "
                    "and jumped up."
                ),
            ),
            (
                "{A} wanted to give {B} a birthday surprise{!wants}{#}.",
                "It was almost {B}'s birthday, and {A} had planned a surprise{!thinks}{#}.",
                '"We must not tell {B}," said {A}, "because the party is a surprise{!hides}{#}."',
                "For {B}'s birthday, {A} had a secret plan{!thinks}{#}.",
                "{A} wanted a birthday that {B} would never forget, so {A.he} made a secret plan{!thinks}{#}.",
            ),
            (
                "{A} searched{!searches} everywhere {P.at} for the right present and found {a:O.adj} {O}.",
                "With {A.his} last coins {A} bought{!sells} {a:O.adj} {O} for {B}.",
                "{A} knew that {B} had always wanted{!wants} {a:O.adj} {O}.",
                "All week {A} worked in secret and made{!makes} {a:O.adj} {O} with {A.his} own hands.",
                "In the attic {A} had hidden{!hides} a present, {a:O.adj} {O} with a big bow around it.",
            ),
            (
                "The baker made{!makes} a cake so tall that it needed its own chair.",
                "The neighbours came{!helps} to help, and everyone brought {F}.",
                "{A} hid{!hides} the {O} [under the bed|behind the stove|in a heap of leaves], where {B} never looked.",
                "{A} invited{!asks} everybody, even the grumpy [postman|miller|captain].",
                "{A} practised{!learns} a birthday song until the dog left the house.",
            ),
            (
                '"Why are you carrying {a:O}?" {B} asked{!asks} suddenly, and {A} had to think fast.',
                '"Shall we go for a walk?" {B} asked{!asks}, but {A} said no and shut the door.',
                "When {B} passed by, everyone stopped talking{!hides} and looked at the sky.",
                "{B} saw{!discovers} flour on {A}'s nose, but {A} only talked about the weather.",
                "Twice {B} came too early, and twice {A} hid{!hides} the {O} behind {A.his} back.",
            ),
            (
                "When the day came, nobody said a word to {B}, who was {~sad}{!feels}.",
                '"They have all forgotten me," thought{!thinks} {B}, and {B.he} felt {~sad}.',
                "On the morning of the birthday {B} waited{!waits} by the door, but no one knocked.",
                "All day {B} sat{!waits} alone with a bowl and a spoon and felt {~sad}.",
                "{B} looked into the letter box{!searches} four times, and it was empty four times.",
            ),
            (
                "In the evening {A} came and led{!travels} {B} {P.to}, where it was very dark.",
                'Then {A} sent{!writes} a note: "Come {P.to} at six, and bring a spoon."',
                '"I have lost something {P.at}," said{!tricks} {A}, "so please come and help me look."',
                "At six o'clock {A} put a scarf over {B}'s eyes and led{!travels} {B.him} {P.to}.",
                "At last {A} knocked on the door and asked{!asks} {B} to come along.",
            ),
            (
                '"Surprise!" [shouted|sang|called]{!celebrates} a hundred voices, and all the lamps were lit.',
                (
                    "Suddenly there was light and music{!celebrates}, and {B} was so {~surprised} that {B.he} sat"
                    " down on the cake."
                ),
                "Then everyone jumped out and cheered{!celebrates}, and {B} was {~surprised}.",
                "From behind every [barrel|bush|chair] somebody jumped out{!celebrates} and began to sing for {B}.",
                "{B} opened {B.his} eyes and saw{!celebrates} lamps, flags and all {B.his} friends.",
            ),
            (
                "{A} gave{!gives} {B} the {O}, and {B} held it tight.",
                '"This is for you," said{!gives} {A}, and put the {O} into {B}\'s arms.',
                "Then {B} opened{!discovers} the present, and inside was the {O.adj} {O}.",
                "Everyone clapped when {A} gave{!gives} {B} the {O}.",
            ),
            (
                "They ate{!eats} {F} and danced until the candles were small.",
                '"You did not forget me," said{!speaks} {B}, who was {~happy}.',
                "{B} was {~grateful}{!feels} and gave {A} the biggest piece of cake.",
                "It was the best birthday{!ends} that {B} had ever had.",
                "And already {B} was planning{!ends} a surprise for {A}.",
                "That night {B} fell asleep{!rests} with the {O} beside {B.his} pillow.",
            ),
        ),
    ),
    Plot(
        name="jealous_friend",
        genre="story",
        theme="being jealous of a friend",
        stages=(
            (
                "Everyone {P.at} was talking{!speaks} about {B} and the new {O}.",
                '"Look what I have!" cried{!speaks} {B}, {a:B.trait} {B.kind}, and held up {a:O.adj} {O}.',
                "One {W} morning {B}, {a:B.trait} {B.kind}, came{!arrives} down the street with {a:O.adj} {O}.",
                (
                    "Side by side lived{!lives} {A}, {a:A.trait} {A.kind}, and {B}, {a:B.trait} {B.kind}, who had"
                    " {a:O.adj} {O}."
                ),
                "Through the window {A}, {a:A.trait} {A.kind}, saw{!discovers} {B} with {a:O.adj} {O}.",
                "At the fair {B}, {a:B.trait} {B.kind}, won{!wins} {a:O.adj} {O}, and everybody cheered.",
            ),
            (
                "{A} looked at {B}'s {O} and was {~jealous}{!feels}{#}.",
                "Everyone praised the {O}, and {A} became {~jealous}{!feels}{#} of {B}.",
                '"Why does {B} have {a:O} and not I?" thought {A}, who was {~jealous}{!feels}{#}.',
                "The more {A} looked at the {O}, the more {~jealous}{!feels}{#} {A.he} became.",
                "{A} clapped with the others, but inside {A.he} was {~jealous}{!feels}{#}.",
            ),
            (
                "{A} had {a:X.adj} {X}, but now it looked{!describes} small and dull.",
                '"My {X} is much better," said{!speaks} {A} loudly, but nobody was listening.',
                "{A} kicked{!describes} the old {X}, which had never done any harm.",
                "At home {A} put the {X.adj} {X} in a corner and felt{!feels} {~sad}.",
                "Until that day {A} had been {~happy}{!feels} with {A.his} {X}.",
                "{A} had once loved{!likes} {A.his} {X.adj} {X}, but now {A.he} did not even look at it.",
            ),
            (
                "At night {A} dreamed{!wants} that the {O} was too big for the house and rolled away.",
                "{A} walked{!describes} the long way home so as not to see the {O}.",
                "{A} did not answer{!refuses} when {B} asked {A.him} to come and play.",
                "{A} told{!tricks} everyone that the {O} had been found in a ditch, and that was not true.",
                "All day {A} was {~angry}{!feels}, first with {B}, then with the {O}, then with a [cup|hen|cloud].",
            ),
            (
                "One evening {A} crept into {B}'s garden and took{!takes} the {O}.",
                "So {A} hid{!hides} {B}'s {O} behind a barrel, where no one would look.",
                "One dark night {A} carried off{!takes} the {O} under {A.his} coat.",
                "When no one was looking, {A} took{!takes} the {O} and ran {P.to}.",
                '"I only want to hold it," said{!takes} {A}, and then {A.he} ran away with the {O}.',
            ),
            (
                "But the {O} was no fun{!discovers} at all with nobody to see it.",
                "Now {A} had the {O}, but {A.he} could not show it to anyone{!explains}.",
                "{A} sat{!hides} in the dark with the {O}, and {A.he} was {~sad}.",
                "From behind a tree {A} saw{!discovers} {B} looking under every leaf, and {B} was {~sad}.",
                "Then {A} heard{!discovers} that {B} was crying, and {A} felt {~sorry}.",
            ),
            (
                "{A} felt {~sorry} and brought{!returns} the {O} back before breakfast.",
                '"I took it," {A} confessed{!apologises} to {B}, "because I wanted to have what you have."',
                "With slow steps {A} went to {B} and apologised{!apologises}.",
                "{A} put the {O} into {B}'s hands and apologised{!apologises} three times.",
                "{A} knocked at {B}'s door and gave{!gives} the {O} back, and {A.his} ears were red.",
            ),
            (
                '{B} was {~surprised}{!feels}. "But I always wanted {a:X} like yours," {B.he} said{!speaks}.',
                '"And I was {~jealous}{!explains} of your {X}," {B} told {A}.',
                "{B} looked at the {O}, then at {A}, and forgave{!forgives} {A.him}.",
                '"You could have asked me," said{!forgives} {B}, and took {A}\'s hand.',
                "{B} was {~angry}{!feels} for as long as it takes to boil an egg, and then it was over.",
            ),
            (
                "So they played{!plays} with the {O} and the {X} together.",
                "In the evening the {O} and the {X} stood{!ends} side by side, and so did {A} and {B}.",
                "From then on they shared{!ends} the {O} on some days and the {X} on others.",
                "At home {A} looked at the {X} and was {~happy}{!feels} to have it.",
                "A thing looks brighter in another hand{!teaches}, but it is the same thing.",
                "{A} and {B} ate{!eats} {F} together, and {A} felt {~calm}.",
            ),
        ),
    ),
    Plot(
        name="caring_for_the_sick",
        genre="story",
        theme="caring for a sick friend",
        stages=(
            (
                "It was the third day{!waits}, and the curtains in {B}'s house were still closed.",
                "One {W} morning {B}, {a:B.trait} {B.kind}, did not come{!waits} to the door.",
                '"Achoo!" came{!speaks} a sound from the house of {B}, the {B.trait} {B.kind}.',
                (
                    "Every day {A}, {a:A.trait} {A.kind}, and {B}, {a:B.trait} {B.kind}, met{!meets} {P.at}, but "
                    "on {a:W} Tuesday {B} did not come."
                ),
                "Where was{!asks} {B}, the {B.trait} {B.kind} who was never late?",
                "All night the wind had blown{!weather} through the window of {B}, the {B.trait} {B.kind}.",
            ),
            (
                "{B} lay in bed and was ill{!explains}{#}, with a nose as red as a berry.",
                "{A} looked in and saw that {B} was ill{!discovers}{#}.",
                "{B} had a fever and could hardly speak, because {B.he} was so ill{!explains}{#}.",
                '"I am ill{!explains}{#}," said {B} in a voice like a rusty gate, when {A} came to visit.',
                "{B} had fallen into cold water, and now {B.he} was ill{!explains}{#}.",
            ),
            (
                "{A} was {~worried}{!feels} and ran for the doctor without a coat.",
                "{A}, {B}'s best friend, was {~worried}{!feels} and put down everything at once.",
                '"I am here now," said{!helps} {A}, who was {a:A.trait} {A.kind}.',
                '"Stay in bed," {A} told{!warns} {B}, and took off {A.his} coat.',
                "{A} felt{!feels} {B}'s hot head and was {~worried}.",
            ),
            (
                "The doctor came{!arrives} on a donkey and left a bottle of green medicine.",
                "The doctor said{!explains}: sleep, warm drinks and no dancing.",
                "{A} lit the fire and filled{!helps} the kettle, and the windows turned white.",
                "{A} brought{!gives} {F}, a clean pillow and seven handkerchiefs.",
                "First {A} shut{!helps} the window, and then {A.he} warmed a brick for {B}'s feet.",
            ),
            (
                "{B} did not want to take{!refuses} the medicine and hid under the blanket.",
                '"It tastes like [old boots|a wet dog|burnt socks]," said{!refuses} {B}, and shut {B.his} mouth.',
                "{B} ate{!eats} two spoons of {F} and fell asleep.",
                '"Tell me something," {B} asked{!asks}, "because I am {~bored}."',
                "Outside, the others were {K.ing}{!describes}, and {B} felt {~sad}.",
            ),
            (
                (
                    "So {A} told{!speaks} a story about a [whale that lived in a teapot|king with no chairs|snail"
                    " that sailed to the moon]."
                ),
                "{A} played{!plays} with a puppet made of an old sock until {B} had to smile.",
                "All night {A} sat{!helps} by the bed and held {B}'s hand.",
                "{A} put{!gives} {a:O.adj} {O} on the bed, so that {B} had something nice to look at.",
                "{A} drank a spoon of the medicine too and made a terrible face{!helps}, and {B} laughed.",
            ),
            (
                "On the second night the fever grew{!danger}, and {A} was {~afraid}.",
                "The clock struck two, then three, and {A} was {~tired} but did not sleep{!waits}.",
                "In the dark {B} saw{!danger} strange things on the ceiling, and {A} did not go home.",
                "Neighbours came{!helps} with wood, with {F} and with good advice.",
                "{A} changed the wet cloth{!helps} on {B}'s head again and again.",
            ),
            (
                "Then, in the morning, the fever was gone{!succeeds}.",
                "After four days {B} sat up{!succeeds} and asked for {F}.",
                "One morning {B} woke up and was well{!succeeds} again.",
                '"I am hungry," said{!succeeds} {B}, and {A} was {~happy} to hear it.',
                "When the sun came in, {B} got up{!succeeds} and danced slowly around the chair.",
            ),
            (
                '"Thank you{!thanks}, {A}," said {B}, who was {~grateful}.',
                "{B} was {~grateful}{!feels} and gave {A} {a:X.adj} {X}.",
                "{A} was {~happy}{!feels}, and they ate {F} by the open window.",
                "But the next morning it was {A} who sneezed{!ends}, and {B} who brought the medicine.",
                "A week later they were {K.ing}{!ends} together again.",
                "And {B} kept{!ends} the empty medicine bottle and put a flower in it.",
                "Medicine helps, and sleep helps, but a friend helps{!teaches} most of all.",
            ),
        ),
    ),
    Plot(
        name="noise_in_the_attic",
        genre="story",
        theme="a strange noise at night",
        stages=(
            (
                "In the middle of the night there was a bump, and {A}, {a:A.trait} {A.kind}, woke up{!discovers}.",
                "It was {a:W} night{!weather}, and {A}, {a:A.trait} {A.kind}, lay in bed and listened.",
                "The house of {A}, the {A.trait} {A.kind}, was{!describes} old and tall and full of corners.",
                '"Did you hear that?" {A} whispered{!asks} to {A.his} pillow.',
                (
                    "The clock had just struck [twelve|one|two]{!describes}, and {A}, {a:A.trait} {A.kind}, was "
                    "wide awake."
                ),
                "There was a house near the {P} where {A}, {a:A.trait} {A.kind}, lived{!lives} with two old clocks.",
            ),
            (
                "There was a noise{!discovers}{#} above {A.his} head, and it came from the attic.",
                "Something was walking{!danger}{#} about in the attic, and it was not a mouse.",
                "A strange noise{!discovers}{#} came down from the attic: bump, scratch, bump.",
                (
                    "From the attic {A} heard{!discovers}{#} a noise like a [spoon in a bucket|chair on one "
                    "leg|sack of nuts]."
                ),
                "Up in the dark attic, something made a noise{!discovers}{#} and stopped, and made it again.",
            ),
            (
                "{A} was {~afraid}{!feels} and pulled the blanket up to {A.his} nose.",
                '"It is a ghost, and a heavy one," thought{!fears} {A}, who was {~afraid}.',
                "{A} was so {~afraid}{!feels} that even {A.his} slippers shook.",
                "{A} hid{!hides} under the bed, but there was a spider, so {A.he} came out again.",
                "{A} counted{!waits} to a hundred, but the noise did not go away.",
            ),
            (
                "So {A} ran across the road and woke{!asks} {B}, {a:B.trait} {B.kind}.",
                "{B}, {a:B.trait} {B.kind} who was staying for the night, woke up{!meets} too.",
                "{A} called{!asks} from the window for {B}, {a:B.trait} {B.kind} who lived next door.",
                "{A} knocked on the wall three times, which meant{!asks}: come quickly, {B}!",
                "At that moment {B}, {a:B.trait} {B.kind}, came{!arrives} in with a candle and one sock.",
            ),
            (
                '"There is no such thing as a ghost," said{!speaks} {B}, but {B.his} voice was very small.',
                '"We must go up and look," said{!dares} {B}, and {A} held on to {B.him}.',
                "{B} was {~afraid}{!feels} too, but did not say so.",
                "For courage they first ate{!eats} some {F}, and then some more.",
                "{A} took {a:O.adj} {O} in one hand and {B}'s sleeve in the other, and tried to be brave{!dares}.",
            ),
            (
                "Step by step {A} and {B} climbed{!dares} the dark stairs.",
                "{A} went first with {a:O.adj} {O}, and {B} followed{!dares} with the candle.",
                "The ninth step groaned, and {A} and {B} nearly fell{!danger} all the way down again.",
                "Very slowly {B} opened{!dares} the attic door, and it creaked.",
                "A cold wind blew{!danger} down the stairs, and the candle went out.",
            ),
            (
                "Something white moved{!danger} in the corner, and {A} screamed.",
                "Two yellow eyes looked{!danger} at them out of the dark.",
                "In the corner the old {X} was moving{!danger} all by itself.",
                "Bump, scratch, bump: something was coming nearer{!danger}.",
                '"Who is there?" called{!asks} {A}, and something sneezed.',
            ),
            (
                "But it was only an owl that had fallen{!discovers} down the chimney and could not get out.",
                "But when {B} lit a match, they saw{!discovers} a family of hedgehogs in the {X.adj} {X}.",
                "But the ghost was{!discovers} a goat with a curtain on its horns.",
                "But it was just the wind, pushing{!discovers} the {X.adj} {X} against the wall.",
                "And out came{!discovers} a very small kitten with {a:X} tied to its tail.",
            ),
            (
                "{A} was so {~surprised}{!feels} that {A.he} sat down on {a:O.adj} {O}.",
                "{B} began to laugh{!speaks}, and then {A} laughed too, until the whole house shook.",
                '"So that is our ghost," said{!speaks} {B}, and {A} felt {~calm}.',
                "They left{!gives} some {F} in the attic and went back to bed.",
                "A noise in the dark is always bigger than the thing that makes it{!teaches}.",
                "{A} and {B} laughed{!speaks} out loud and went back to bed.",
                "Most ghosts go away when you look{!teaches} at them.",
                "In the morning {A} told{!ends} everyone about it, and the ghost had grown twice as big.",
            ),
        ),
    ),
    Plot(
        name="school_play",
        genre="story",
        theme="a school play",
        stages=(
            (
                '"Who will be the dragon?" asked{!asks} the teacher one {W} morning.',
                "On the school door hung{!describes} a big yellow note.",
                "All the chairs in the hall stood in rows{!describes}, and behind the curtain somebody was shaking.",
                "It was {a:W} evening{!weather}, and the whole village was walking to the school.",
                "In the last row of the school sat{!introduces} {A}, {a:A.trait} {A.kind}.",
                "Once a year the hall of the school turned into a [castle|stormy sea|forest]{!describes}.",
                (
                    "At the school there was{!introduces} {a:A.trait} {A.kind} named {A}, who spoke so quietly "
                    "that only mice could hear."
                ),
            ),
            (
                "The school was putting on a play{!explains}{#}, and {A} wanted to be in it.",
                "There was going to be a play{!explains}{#}, and everyone wanted to be the [king|queen|dragon].",
                "In the school play{!explains}{#} {A} was a tree, and {B} was the [king|queen|dragon].",
                "{A} was given the biggest part in the school play{!explains}{#}.",
                (
                    '"You shall play{!asks}{#} the [hero|king|old tree]," the teacher told {A}, "in this year\'s '
                    'school play."'
                ),
            ),
            (
                '{A} had only one line{!explains}: "Here comes the king with {a:O.adj} {O}!"',
                "For the play {A} needed{!wants} {a:O.adj} {O}, and {A.he} painted it twice.",
                "All {A} had to do was carry{!carries} {a:O.adj} {O} across the stage.",
                "{A} had forty lines{!explains} and {a:O.adj} {O} to hold.",
                "{A} wore{!describes} a paper crown and carried {a:O.adj} {O}.",
            ),
            (
                "{A} practised{!learns} in the bath, in bed and in front of the cows.",
                "Every day {A} and {B}, {a:B.trait} {B.kind}, practised{!learns} {P.at}.",
                "{A.He} said{!learns} the words to a [lamp|hen|turnip] again and again.",
                "{B}, {a:B.trait} {B.kind}, painted{!makes} a moon for the stage, and {A} learned the words.",
                "{A} practised{!learns} so much that even the baker knew the words.",
            ),
            (
                "But on the great night {A} was so {~worried}{!feels} that {A.his} knees knocked.",
                '"What if I forget my words?" {A} asked{!asks} {B}, feeling {~worried}.',
                "{A} looked through a hole in the curtain, saw{!discovers} two hundred eyes, and was {~afraid}.",
                "{A} was {~excited}{!feels} and put both shoes on the wrong feet.",
                "Behind the curtain {A} ate{!eats} some {F} and felt {~worried}.",
            ),
            (
                "The curtain opened, and {A} opened {A.his} mouth, but the words were gone{!fails}.",
                "The music began, but {A} tripped and fell{!fails}, and the {O} rolled off the stage.",
                "When the curtain went up, {A} had forgotten{!fails} every single word.",
                "At the very first word the painted moon came down{!breaks} and hit {A} on the head.",
                (
                    "{A} walked out into the light, and the {O} flew{!fails} out of {A.his} hands and landed in "
                    "the mayor's lap."
                ),
            ),
            (
                "From behind the paper forest, {B} whispered{!helps} the words.",
                "Then {B}, who was {a:B.trait} {B.kind}, jumped onto the stage and helped{!helps} {A}.",
                "{B} began to sing{!helps}, as if it were all part of the play.",
                '"The poor king has lost his tongue," said{!helps} {B}, thinking quickly, and the people laughed.',
                "Then {B} gave{!helps} {A} a smile and pointed at the {O}, and {A} remembered.",
            ),
            (
                "{A} took a deep breath and said{!succeeds} every word, loud and clear.",
                "{A} bowed, picked up the {O} and went on{!succeeds} as if nothing had happened.",
                "So {A} made up{!succeeds} new words, and they were funnier than the old ones.",
                "{A} laughed, everyone laughed too, and the play went on{!succeeds}.",
                "Now {A} felt{!dares} {~hopeful}, and {A.his} voice filled the hall.",
            ),
            (
                "At the end the people clapped{!celebrates} until the lamps shook, and {A} was {~happy}.",
                '"We did it, {B}!" cried{!celebrates} {A}, who was {~happy}.',
                "{A} and {B} bowed{!celebrates} together, nine times, hand in hand.",
                "Afterwards {A} thanked{!thanks} {B}, and everyone ate {F}.",
                "A mistake is only the end of the play if you stop{!teaches} there.",
                "And next year, said{!ends} {A}, {A.he} would like to be the dragon.",
            ),
        ),
    ),
)
