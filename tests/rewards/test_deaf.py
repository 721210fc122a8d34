"""The did-not-hear detector: replies that say so are found, talk about hearing is not."""

import pytest

from rba.rewards.deaf import DidNotHear, did_not_hear

DEAF = """
I'm sorry, I didn't hear you.
I couldn't quite catch that. What was the city?
I’m afraid I didn’t catch what you said.
Could you please say that again?
Can you repeat the question?
Would you kindly rephrase your request?
Please speak up.
Please repeat your question.
As a text-based AI, I answer in writing.
I am a text-only model.
I only process text.
I'm sorry, but I can't process audio files.
I am unable to listen to audio.
I do not have the ability to hear.
I don't hear anything.
I can't hear you well.
There is no audio attached to your message.
Unfortunately no recording was provided.
It seems the audio was cut off.
Please provide the audio recording.
Your message seems to be incomplete.
I'm not sure what you said.
"""

HEARD = """
To learn a language, repeat each phrase aloud, then say it again slowly.
She couldn't hear the music because the door was closed.
Beethoven could not hear his last symphony.
I haven't heard of this film, but it sounds nice.
A text-based adventure is a game that you play by typing.
Use a good microphone so that the audio recording is clear.
Ask your neighbour to speak up for you at the meeting.
Please repeat after me: one, two, three.
I'm sorry to hear that you are sad.
The audio was recorded in 1969.
I don't hear from my brother often.
I can't catch the bus today.
I did not catch a cold.
As a language teacher, I recommend short stories.
Your message is clear and polite.
You can share the recording with a friend in the app's menu, next to the name.
"""


@pytest.mark.parametrize("answer", DEAF.strip().splitlines())
def test_replies_of_a_model_that_did_not_hear_are_found(answer):
    assert did_not_hear(answer)
    assert did_not_hear("Hello! " + answer.upper())


@pytest.mark.parametrize("answer", HEARD.strip().splitlines())
def test_talk_about_hearing_is_no_complaint(answer):
    assert not did_not_hear(answer)


def test_as_a_reward_it_is_one_for_deaf_answers_and_needs_no_reference():
    assert DidNotHear()(["q", "q"], ["I didn't hear you.", "Canberra."]) == [1.0, 0.0]
