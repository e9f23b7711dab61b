"""What the agent answers: a pure dialogue over the items of a Realtime conversation."""

from transceiver.agent.skills.dialogue import Skills
from transceiver.agent.skills.reply import (
    CancelTimer,
    FunctionCall,
    Intent,
    PlayBack,
    Reply,
    SayGoodbye,
    SetTimer,
    Situation,
)

__all__ = [
    "CancelTimer",
    "FunctionCall",
    "Intent",
    "PlayBack",
    "Reply",
    "SayGoodbye",
    "SetTimer",
    "Situation",
    "Skills",
]
