"""Rows after a person was taken out."""

from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.person import without
from bot.domain.reload import Asker, ImageTest, Outcome, Ping, Reload, State
from bot.domain.rows import Event, KeyRow, PaidCall, ServerSettings, Watch, Watcher

ANA, BEN, CEM = 220000000000000001, 220000000000000002, 220000000000000003
people = st.sampled_from([ANA, BEN, CEM])
askers = st.builds(Asker, user=people, channel=st.sampled_from([70, 71]), token=st.sampled_from(["", "t"]))
reloads = st.builds(
    Reload,
    id=st.just(1),
    server=st.just(100),
    model=st.just("sdxl-turbo"),
    askers=st.lists(askers, min_size=1, max_size=5).map(tuple),
    asked_at=st.just(1000.0),
    seconds=st.just(120.0),
    state=st.just(State.ENDED),
    outcome=st.just(Outcome.ACCEPTED),
    pings=st.lists(st.builds(Ping, st.just(70), st.lists(people).map(tuple)), max_size=3).map(tuple),
    muted=st.lists(people).map(tuple),
    test=st.none()
    | st.builds(ImageTest, by=askers, at=st.just(1200.0), spoiler=st.just(True), ahead=st.booleans()),
)


@given(reload=reloads)
def test_nothing_names_them_and_the_others_stay(reload: Reload) -> None:
    after = without(reload, ANA)
    if all(asker.user == ANA for asker in reload.askers):
        assert after is None, "nobody else asked for it"
        return
    assert str(ANA).encode() not in orjson.dumps(after)
    assert {a.user for a in after.askers} == {a.user for a in reload.askers} - {ANA}
    assert after.owner.channel == reload.owner.channel, "where the reply is"
    assert len(after.pings) == len(reload.pings), "they are known by their number"
    if reload.owner.user == ANA:
        assert after.owner.token == "", "it would answer another interaction"
    unnamed = str(ANA).encode() not in orjson.dumps(reload)
    assert (after is reload) is unnamed
    assert replace(after, askers=(), pings=(), muted=(), test=None) == replace(
        reload, askers=(), pings=(), muted=(), test=None
    )


def test_a_key_stays_and_what_is_theirs_alone_goes() -> None:
    key = KeyRow("sealed", ANA, "ana", 1.0)
    assert without(key, ANA) == KeyRow("sealed", 0, "", 1.0)
    assert without(key, BEN) is key
    assert without(Event("setting", 1.0, ANA, "ana", "ping"), ANA) == Event("setting", 1.0, detail="ping")
    both = Watch(100, "m", ANA, 70, used_at=5.0, others=(Watcher(BEN, 71), Watcher(CEM, 72)))
    assert without(both, ANA) == Watch(100, "m", BEN, 71, used_at=5.0, others=(Watcher(CEM, 72),))
    assert without(both, CEM) == Watch(100, "m", ANA, 70, used_at=5.0, others=(Watcher(BEN, 71),))
    for row in (Watch(100, "m", ANA, 70), PaidCall(ANA, 1.0)):
        assert without(row, ANA) is None
        assert without(row, BEN) is row
    settings = ServerSettings(ledger_channel=ANA)
    assert without(settings, ANA) is settings
