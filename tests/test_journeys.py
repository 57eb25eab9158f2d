import simcord
from tests.world import World

async def test_whole(env: simcord.Env, api) -> None:
    world = World(env)
    r = await world.set_key()
    print(r.response, r.followups)
    print(await world.reload())
    await env.advance_time(130)
    for s in world.seen(): print(s)
    for q in env.http_requests[-3:]: print(q.method, q.path, q.json)
    print(api.calls)
