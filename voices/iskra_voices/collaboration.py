"""Several voices work on a task: in turn, side by side, or whoever has most to say; Iskra closes each round."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Literal

from iskra_metrics.text import sentences
from iskra_sdk.errors import BadInputError, BusyError, ConflictError, LLMError
from iskra_sdk.ids import SessionId, new_id
from iskra_sdk.llm import Caller
from iskra_sdk.message import Message
from iskra_sdk.plugin_context import PluginContext
from iskra_sdk.principal import Principal
from iskra_voices.activation import coordination_of
from iskra_voices.catalogue import VoiceCatalogue
from iskra_voices.choice import Signals, activation_level, forbidden, speaking_score
from iskra_voices.conversation_readings import ConversationReadings
from iskra_voices.course import Course, Way
from iskra_voices.definitions.iskra import names_voice
from iskra_voices.ensemble import Ensemble, Task
from iskra_voices.known_facts import with_facts
from iskra_voices.mending import Judged
from iskra_voices.policy import Policy
from iskra_voices.scene import scene_of
from iskra_voices.session_records import SessionRecord, SessionRecords, Spoken
from iskra_voices.settings import VoicesSettings
from iskra_voices.success_criteria import Criterion, Outcome, criterion
from iskra_voices.telling import Telling
from iskra_voices.tension import Conflict, conflicts, said_against
from iskra_voices.waiting_room import WaitingRoom
from iskra_voices.wire import (
    CollaborationRequest,
    CollaborationResponse,
    Contribution,
    CriterionResult,
    LeftOut,
    conflict_wire,
    signals_wire,
)

MOST_EMERGENT_TURNS = 5
MOST_TURNS_OF_ONE = 2
"""Turns of one voice in an emergent round."""

_HISTORY = 20  # messages of the session that the voices see


class Collaboration:
    """Runs collaborations.

    Args:
        context: The plugin's.
        catalogue: The voices.
        records: What is remembered of sessions.
        readings: The metrics.
        telling: Tells what came of them.
        settings: How voices speak.
    """

    def __init__(
        self,
        context: PluginContext,
        catalogue: VoiceCatalogue,
        records: SessionRecords,
        readings: ConversationReadings,
        telling: Telling,
        settings: VoicesSettings,
    ) -> None:
        self._context = context
        self._catalogue = catalogue
        self._records = records
        self._readings = readings
        self._telling = telling
        self._settings = settings
        self._waiting = WaitingRoom(settings.collaborations_at_once, context.clock)

    async def run(self, principal: Principal, session_id: str, wanted: CollaborationRequest) -> CollaborationResponse:
        """Have the voices work until every success criterion is met, the rounds are spent or the time is over.

        A number of collaborations work at once; who comes then waits, the higher ``priority`` first.

        Raises:
            QueueFullError: Too many wait already.
            BusyError: No place became free in the time that a collaboration may take.
            BadInputError: No such voice, no task, or a criterion that cannot be checked.
            SessionNotFoundError: No such session for this principal.
            ConflictError: The primary voice must not speak now, or there is no language model.
            LLMError: No voice could speak.
        """
        criteria = [criterion(text, self._catalogue) for text in wanted.collaborative_task.success_criteria]
        names = [self._catalogue.named(name).name for name in (wanted.primary_voice, *wanted.collaborating_voices)]
        if not self._context.llm.has_language_model(self._settings.collaboration_model):
            raise ConflictError(
                "No language model is connected, so voices cannot work together.",
                mend="Connect one, or set `collaboration_model` of the plugin `voices` to an alias that has one.",
            )
        if session_id:
            await self._context.sessions.session(principal, SessionId(session_id))  # nobody waits for nothing
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(self._settings.collaboration_seconds):
                    place = self._waiting.place(wanted.collaborative_task.priority)
                    waited = await places.enter_async_context(place)
            except TimeoutError as exc:
                raise BusyError(
                    f"{self._settings.collaborations_at_once} collaborations work already, and none ended in "
                    f"{self._settings.collaboration_seconds:g} s.",
                    mend="Try again later, with a higher `priority`, or set `collaborations_at_once` higher.",
                ) from exc
            return await self._worked(principal, session_id, wanted, criteria, names, waited)

    async def _worked(
        self,
        principal: Principal,
        session_id: str,
        wanted: CollaborationRequest,
        criteria: Sequence[Criterion],
        names: Sequence[str],
        waited: float,
    ) -> CollaborationResponse:
        history = await self._history(principal, session_id) if session_id else []
        content = _content(wanted, history)
        record = await self._records.of(session_id) if session_id else SessionRecord()
        signals = await self._readings.signals(session_id, record, [*history, Message.user(content)])
        signals = replace(signals, in_crisis=signals.in_crisis or record.in_crisis)
        course = self._planned(names, wanted.coordination_protocol, signals)
        settings = self._settings
        scene = scene_of(
            [*history, Message.user(content)],
            pain=signals.pain,
            help_en=settings.crisis_help_en,
            help_ru=settings.crisis_help_ru,
        )
        if "hundun" in course.speakers:
            scene = await with_facts(self._context, session_id, scene, [*history, Message.user(content)])
        caller = Caller(principal.id, f"plugin:{self._context.name}", session_id)
        ensemble = Ensemble(self._context, settings, Task(content, history, caller), scene)
        status: Literal["completed", "criteria_unmet", "out_of_time"] = "criteria_unmet"
        try:
            async with asyncio.timeout(settings.collaboration_seconds):
                for number in range(1, wanted.round_budget + 1):
                    await self._round(number, course, ensemble, criteria)
                    if course.is_closed and all(result.met for result in course.results):
                        status = "completed"
                        break
        except TimeoutError:
            status = "out_of_time"
        course.name_the_silent("The time was over." if status == "out_of_time" else "Others had more to say.")
        self._remember(record, course, names[0])
        collaboration_id = new_id("col")
        coordination = coordination_of(session_id, record)
        if session_id:
            await self._records.save(session_id)
            data = {
                **coordination.model_dump(mode="json"),
                "collaboration_id": collaboration_id,
                "status": status,
                **course.figures(succeeded=status == "completed"),
            }
            await self._telling.in_session("coordination", data, SessionId(session_id))
        return CollaborationResponse(
            collaboration_id=collaboration_id,
            status=status,
            coordination_protocol=course.way,
            rounds=course.rounds,
            contributions=course.given,
            synthesis=course.synthesis,
            conflicts=course.conflicts,
            success_criteria=course.results,
            left_out=course.left_out,
            metrics=signals_wire(signals),
            model_calls=ensemble.spending.calls,
            usage=ensemble.spending.usage.wire,
            waited_seconds=round(waited, 3),
            coordination=coordination,
        )

    # Planning --------------------------------------------------------------------------------------------------------

    async def _history(self, principal: Principal, session_id: str) -> list[Message]:
        session = await self._context.sessions.session(principal, SessionId(session_id))
        stored = await self._context.sessions.messages(principal, session.id)
        spoken = [one.message for one in stored if one.message.role in ("user", "assistant") and one.message.text]
        return [_plain(message) for message in spoken[-_HISTORY:]]

    def _planned(self, names: Sequence[str], protocol: str, signals: Signals) -> Course:
        """Choose who speaks, and in which way."""
        primary = names[0]
        if why := forbidden(primary, signals):
            raise ConflictError(
                f"The voice {primary!r} is not for now: {why}.", mend="Choose another primary voice.", facts={}
            )
        order = dict.fromkeys([primary, *self._catalogue.ordered(names)])
        left_out = [LeftOut(voice_type=name, reason=why) for name in order if (why := forbidden(name, signals))]
        barred = {left.voice_type for left in left_out}
        speakers = [name for name in order if name != "iskra" and name not in barred]
        if not speakers:
            raise BadInputError(
                "Nobody is left to work with.", mend="Name a voice besides iskra, who closes every round anyway."
            )
        if protocol == "adaptive":
            protocol = "sequential" if conflicts(speakers, signals) else "parallel"
        ways: Mapping[str, Way] = {"sequential": "sequential", "parallel": "parallel", "emergent": "emergent"}
        return Course(ways[protocol], speakers, left_out, signals)

    # A round ---------------------------------------------------------------------------------------------------------

    async def _round(self, number: int, course: Course, ensemble: Ensemble, criteria: Sequence[Criterion]) -> None:
        unmet = [result.criterion for result in course.results if not result.met]
        wish = f"Still missing: {'; '.join(unmet)}." if unmet else ""
        if course.way == "parallel":
            await self._side_by_side(number, course, ensemble, wish)
        elif course.way == "emergent":
            await self._freely(number, course, ensemble, wish)
        else:
            for name in course.speakers:
                await self._let_speak(name, number, course, ensemble, heard=course.heard(number), wish=wish)
        heard = course.heard(number)
        if not heard:
            raise LLMError("None of the voices could speak.", mend="Look at `left_out`, and at the model's health.")
        found = [*conflicts(heard, course.signals), *said_against(heard)]
        await self._audit(number, course, ensemble, found)
        heard = course.heard(number)
        against = [conflict.voices for conflict in found]
        course.rounds = number
        try:
            closing = await ensemble.speak(self._policy("iskra"), heard=heard, conflicts=against, wish=wish)
        except LLMError as exc:  # what the others said is not lost for it
            course.left_out.append(LeftOut(voice_type="iskra", reason=exc.message))
            closing = Judged("", ())
        else:
            course.synthesis = self._contribution("iskra", number, closing)
        course.conflicts = [conflict_wire(one, _resolution(one, closing.text, heard)) for one in found]
        scene = replace(ensemble.scene, contributions=heard, conflicts=against)
        outcome = Outcome(closing.text, heard, scene)
        course.results = [
            CriterionResult(criterion=each.text, met=each.is_met(outcome), how=each.how) for each in criteria
        ]

    async def _side_by_side(self, number: int, course: Course, ensemble: Ensemble, wish: str) -> None:
        async with asyncio.TaskGroup() as group:
            for name in course.speakers:
                group.create_task(self._let_speak(name, number, course, ensemble, heard={}, wish=wish))
        order = {name: place for place, name in enumerate(course.speakers)}
        course.given.sort(key=lambda each: (each.round, order[each.voice_type]))

    async def _freely(self, number: int, course: Course, ensemble: Ensemble, wish: str) -> None:
        """Let whoever has most to say speak next; Hundun hands back, to Sam if Sam is there, else to the closing."""
        signals, last = course.signals, ""
        turns = dict.fromkeys(course.speakers, 0)
        # The primary voice begins.
        name = course.speakers[0]
        for _ in range(MOST_EMERGENT_TURNS):
            await self._let_speak(name, number, course, ensemble, heard=course.heard(number), wish=wish)
            turns[name] += 1
            last = name
            if last == "hundun" and turns.get("sam", MOST_TURNS_OF_ONE) >= MOST_TURNS_OF_ONE:
                return
            said = [Message.assistant(each.text) for each in course.given if each.round == number]
            base = [Message.user(text) for text in (ensemble.scene.asked,)]
            signals = replace(
                await self._readings.signals("", SessionRecord(), [*base, *said]),
                pain=course.signals.pain,
                hurt=course.signals.hurt,
                in_crisis=course.signals.in_crisis,
            )
            able = [one for one in course.speakers if one != last and turns[one] < MOST_TURNS_OF_ONE]
            scores = {one: speaking_score(one, signals, incumbent=last) for one in able}
            if last == "hundun":
                name = "sam"
            elif scores and max(scores.values()) > 0:
                name = max(able, key=lambda one: scores[one])  # of equals, the first in speaking order
            else:
                return

    async def _audit(self, number: int, course: Course, ensemble: Ensemble, found: Sequence[Conflict]) -> None:
        """Hear Iskriv on conflicts that are Iskriv's to resolve."""
        theirs = [conflict for conflict in found if conflict.resolver == "iskriv"]
        if not theirs or "iskriv" in course.heard(number):
            return
        wish = "Say who of them is right about what: " + "; ".join(" and ".join(one.voices) for one in theirs) + "."
        await self._let_speak("iskriv", number, course, ensemble, heard=course.heard(number), wish=wish)

    async def _let_speak(
        self, name: str, number: int, course: Course, ensemble: Ensemble, *, heard: Mapping[str, str], wish: str
    ) -> None:
        """Add what a voice says; one that cannot speak is left out."""
        try:
            said = await ensemble.speak(self._policy(name), heard=heard, wish=wish)
        except LLMError as exc:
            course.left_out.append(LeftOut(voice_type=name, reason=exc.message))
            return
        if said.text:
            course.given.append(self._contribution(name, number, said))
        else:
            course.left_out.append(LeftOut(voice_type=name, reason="It said nothing."))

    def _contribution(self, name: str, number: int, said: Judged) -> Contribution:
        return Contribution(
            voice_type=name,
            round=number,
            text=said.text,
            unmet_demands=[check.name for check in said.broken],
            at=self._context.clock.now(),
        )

    def _policy(self, name: str) -> Policy:
        return self._catalogue.named(name)

    def _remember(self, record: SessionRecord, course: Course, primary: str) -> None:
        record.protocol = course.way
        closing = [course.synthesis] if course.synthesis is not None else []
        for each in [*course.given, *closing]:
            name = each.voice_type
            role = "closing" if name == "iskra" else "primary" if name == primary else "collaborating"
            record.take_part(name, Spoken(activation_level(name, course.signals), role, each.at.isoformat()))


def _content(wanted: CollaborationRequest, history: list[Message]) -> str:
    """Return the task in words; where the session's last message is the task, it leaves the history."""
    task = wanted.collaborative_task
    content = task.content.strip()
    if not any(character.isprintable() and not character.isspace() for character in content):
        last = next((place for place in reversed(range(len(history))) if history[place].role == "user"), None)
        if last is None:
            raise BadInputError(
                "There is no task.",
                mend="Give `collaborative_task.content`, or a session in which something was asked.",
            )
        content = history[last].text
        del history[last:]
    return f"{task.task_type.strip()}: {content}" if task.task_type.strip() else content


def _plain(message: Message) -> Message:
    """Return a message as its text alone, so that no call of a tool goes without its result."""
    return Message.user(message.text) if message.role == "user" else Message.assistant(message.text)


def _resolution(conflict: Conflict, closing: str, heard: Mapping[str, str]) -> str:
    """Return the sentence in which a conflict is resolved or called open, or the empty string."""
    text = heard.get("iskriv", "") if conflict.resolver == "iskriv" else closing
    for sentence in sentences(f"{text}\n{closing}"):
        if all(names_voice(sentence, name) for name in conflict.voices):
            return sentence
    return ""
