"""What the agent expects to hear, as a JSGF grammar for recognisers that need one.

https://www.w3.org/TR/jsgf/
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from transceiver.agent.skills.tools import functions

MAX_PHRASES = 200  # of the client's tools
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_SPELLED = (
    "apple banana orange water coffee music hello icelandic friend window garden picture letter "
    "number question answer computer telephone internet network language kitchen weather people "
    "monday friday january london paris"
)
_PLACES = (
    "london | paris | berlin | madrid | rome | vienna | dublin | new york | boston | chicago | "
    "seattle | san francisco | los angeles | toronto | tokyo | sydney | oslo | stockholm | moscow"
)
# A recogniser writes a rule out at each place that names it, and what is written out costs time in
# every frame: so numbers are named at few places, and what comes before them is put together.
_RULES = f"""\
<one> = one | two | three | four | five | six | seven | eight | nine;
<teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen
       | nineteen;
<tens> = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety;
<number> = zero | [(a | <one>) hundred [and]] (<teen> | [<tens>] <one> | <tens>)
         | (a | <one>) (hundred | thousand) | <one> point <one>;
<sign> = plus | minus | times | multiplied by | divided by | percent of;
<sums> = (what is | what's | how much is | calculate) <number> <sign> <number>
       | (add | multiply | divide | subtract) <number> (and | by | from) <number>
       | [what is | what's] the square root of <number>;
<unit> = second | seconds | minute | minutes | hour | hours;
<duration> = (<number> | a | an) <unit> [and <tens> <unit>] | half an hour;
<place> = {_PLACES};
<timer> = ([[set | start] a] timer for | remind me in) <duration> | [set | start] a timer
        | (cancel | stop) the timer | how much time is left | how long is left;
<time> = what time is it [now] | (what is | what's | tell me) the time
       | do you know what time it is;
<date> = what day is it [today] | (what is | what's) (the | today's) date | what year is it
       | what day is tomorrow | tell me the date;
<spell> = (spell | how do you spell) [the word] ({" | ".join(_SPELLED.split())});
<echo> = echo [my voice] | repeat after me | (repeat | say) what i say | play my voice back
       | let me hear my voice;
<again> = say that again | repeat that | what did you say | pardon;
<talk> = help [me] | what can (you do | i say) | who are you | (what's | what is) your name
       | how are you [today] | (can | do) you hear me | thank you | thanks
       | (hello | hi) [there] | good (morning | evening | afternoon | night)
       | goodbye | bye [bye] | see you | stop | be quiet | never mind | yes | no | okay
       | do you speak english;
"""


@lru_cache(maxsize=64)
def jsgf(phrases: tuple[str, ...] = ()) -> str:
    """The grammar, with further phrases after which a place or a number may come."""
    plain = [" ".join(_WORD.findall(phrase.lower())) for phrase in phrases[:MAX_PHRASES]]
    others = " | ".join(dict.fromkeys(phrase for phrase in plain if phrase))
    rules = _RULES
    commands = "<time> | <date> | <timer> | <sums> | <spell> | <echo> | <again> | <talk>"
    if others:
        rules += f"<others> = {others};\n"
        rules += "<tail> = [in | for | to | at | of | on | from] (<place> | <number>);\n"
        commands += " | [what is | what's | tell me] [the] <others> [<tail>]"
    return (
        "#JSGF V1.0;\ngrammar agent;\n"
        "public <request> = <command> [please];\n"
        f"<command> = {commands};\n{rules}"
    )


def tool_phrases(tools: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is likely to be said where the client has declared these tools.

    The words of each name, alone and with each value of an `enum` among its parameters.
    """
    found: dict[str, None] = {}
    for tool in functions(tools):
        spoken = " ".join(tool.spoken)
        found[spoken] = None
        for value in _values(tool.parameters):
            found[f"{spoken} {value}"] = None
            found[f"{spoken} in the {value}"] = None
            found[f"{spoken} to {value}"] = None
    return tuple(found)[:MAX_PHRASES]


def _values(schema: Mapping[str, Any]) -> Iterable[str]:
    properties = schema.get("properties")
    for each in list(properties.values())[:16] if isinstance(properties, Mapping) else ():
        values = each.get("enum") if isinstance(each, Mapping) else None
        for value in values[:16] if isinstance(values, list) else ():
            if isinstance(value, str):
                yield value.replace("_", " ")
