"""What is said to the agent: sentences of its grammar, and some that are in none."""

UNDERSTOOD = [
    *("what time is it", "what's the time", "tell me the time", "do you know what time it is"),
    *("what day is it today", "what's the date", "what day is tomorrow", "what year is it"),
    *("set a timer for five minutes", "set a timer for one hour and twenty minutes"),
    *("remind me in half an hour", "cancel the timer", "how much time is left"),
    *("what is twelve times seven", "how much is one hundred and five minus six"),
    *("what is twenty percent of fifty", "add three and four", "divide ninety by eight"),
    *("what is the square root of eighty one", "calculate two hundred plus thirty three"),
    *("spell banana", "how do you spell telephone", "spell the word kitchen"),
    *("echo my voice", "repeat after me", "say that again", "what did you say"),
    *("help", "help me please", "what can you do", "what can i say", "who are you"),
    *("what's your name", "how are you today", "can you hear me", "thank you"),
    *("hello", "good morning", "goodbye", "see you", "yes", "no", "stop", "never mind"),
]
OTHERS = [
    *("the quick brown fox jumps over the lazy dog", "i would like to buy a new car tomorrow"),
    *("where is the nearest restaurant", "tell me a joke", "call my mother", "play some music"),
    *("my dog ate the homework", "what do you think about politics", "no way jose"),
    *("turn off the lights in the bedroom", "how far away is the moon", "book a flight to madrid"),
    *("my package has not arrived yet", "i want to speak to a human", "is it going to rain"),
    *("what is the capital of france", "who won the game last night", "open the garage door"),
]
ANSWER = "It is 7:05 PM. You can ask me for the time or the date, set a timer, or give me a sum."
