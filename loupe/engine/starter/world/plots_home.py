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
                "{A} was {~grateful}{!feels} and gave {B} [some {F}|the {O.adj} {O}|half of the {F}].",
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
                "In the evening {A} was {~bored}{!feels}, and even the [stars|soup|clock] seemed to be {~sad}.",
            ),
            (
                (
                    "Then {A} remembered{!remembers} how {B} had once carried {A.him} home [in a wagon|through "
                    "the snow|all the way from the {Q}]."
                ),
                "{A} thought{!thinks} about it all night and began to feel {~sorry}.",
                '"What is a {O} without a friend?" thought{!thinks} {A}, and {A.he} was {~sorry}.',
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
                "So {A} dug a hole with a spoon and planted{!plants} the seed{#}.",
                "{A} made a little bed of earth and planted{!plants} the seed{#} right in the middle.",
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
                "{B} showed{!plays} {A} the {O.adj} {O}, and soon they were playing with it.",
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
                "{B} was {~grateful}{!feels} and gave {A} the {O}.",
                "A stranger is only a friend who has not yet been asked in{!teaches}.",
                "By winter nobody could remember{!ends} the village without {B}.",
                "And when the next newcomer came, it was {B} who knocked{!ends} on the door with some {F}.",
            ),
        ),
    ),
)
