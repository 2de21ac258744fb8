"""A small Hyperspace node: the state and guard primitives over WebSocket, in the standard library and `websockets`.

It is here to be judged. It shares no code with the rest of the repository and was written from the specification's text.
`--mistake N` makes one of five mistakes, each of which the suite names; README.md tells which.
"""

import argparse
import asyncio
import json
import math
import re
import time
import uuid
from datetime import datetime, timezone
from decimal import Decimal

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602
NO_SESSION, OVER_BUDGET = -32001, -32002
LIMIT = Decimal("1.00")
MISTAKES = {
    1: "takes rewards beyond -1 and 1",
    2: "charges what remains when it refuses a consumption",
    3: "forgets values that Python holds for false",
    4: "allows a key one use more than its limit",
    5: "looks at the budget, waits, and then spends",
}

sessions: dict = {}
uses: dict = {}
mistake = 0


class RpcError(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({} if data is None else {"data": data})


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


KINDS = {
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
    "any": lambda value: True,
}


def session_of(params):
    session = sessions.get(params["sessionId"])
    if session is None or session["ended"]:
        raise RpcError(NO_SESSION, "Session not found", {"sessionId": params["sessionId"]})
    return session


# State, section 4.1


def create_session(params):
    now = datetime.now(timezone.utc)
    created = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    session_id = str(uuid.uuid4())
    info = {name: params[name] for name in ("agentName", "agentType", "peerId", "model", "metadata") if name in params}
    sessions[session_id] = {
        "info": {"sessionId": session_id, "createdAt": created, **info},
        "began": time.monotonic(), "ended": False, "values": {}, "episodes": [], "consumed": Decimal(0),
    }
    return {"sessionId": session_id, "createdAt": created}


def get_session(params):
    return session_of(params)["info"]


def set_state(params):
    session_of(params)["values"][params["key"]] = params["value"]
    return {"updated": True}


def get_state(params):
    value = session_of(params)["values"].get(params["key"])
    return {"value": (value or None) if mistake == 3 else value}


def end_session(params):
    session = session_of(params)
    session["ended"] = True
    return {"ended": True, "duration": round((time.monotonic() - session["began"]) * 1000)}


def record_episode(params):
    session = session_of(params)
    if not -1 <= params["reward"] <= 1 and mistake != 1:
        raise RpcError(PARAMS, "reward lies between -1 and 1")
    episode_id = f"ep-{uuid.uuid4().hex[:12]}"
    session["episodes"].append((episode_id, params["outcome"], params["reward"]))
    return {"episodeId": episode_id}


# Guard, section 4.2


def same(a, b):
    return type(a) is type(b) and a == b or (is_number(a) and is_number(b) and a == b)


def violations(data, schema, at="$"):
    """What of a little JSON Schema the data break."""
    if schema is True:
        return []
    if not isinstance(schema, dict):
        raise RpcError(PARAMS, f"the schema at {at} is no object")
    found = []
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if any(kind not in KINDS or kind == "any" for kind in types):
        raise RpcError(PARAMS, f"the schema at {at} has an unknown type")
    if types and not any(KINDS[kind](data) for kind in types):
        found.append(f"{at} is no {' or '.join(types)}")
    if "enum" in schema and not any(same(data, choice) for choice in schema["enum"]):
        found.append(f"{at} is none of the choices")
    if is_number(data):
        if data < schema.get("minimum", data) or data > schema.get("maximum", data):
            found.append(f"{at} is out of range")
    if isinstance(data, str) and not schema.get("minLength", 0) <= len(data) <= schema.get("maxLength", len(data)):
        found.append(f"{at} is too short or too long")
    if isinstance(data, dict):
        found += [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in data]
        for name, inner in schema.get("properties", {}).items():
            if name in data:
                found += violations(data[name], inner, f"{at}.{name}")
    if isinstance(data, list) and "items" in schema:
        for index, item in enumerate(data):
            found += violations(item, schema["items"], f"{at}[{index}]")
    return found


def validate(params):
    errors = violations(params["data"], params["schema"])
    return {"valid": not errors} | ({"errors": errors} if errors else {})


def check_safety(params):
    hostile = re.search(r"ignore (all )?previous instructions|rm -rf /", params["content"], re.IGNORECASE)
    return {"safe": False, "flags": ["injection"]} if hostile else {"safe": True, "flags": []}


def budget(session):
    consumed = session["consumed"]
    return {"remaining": float(LIMIT - consumed), "consumed": float(consumed), "limit": float(LIMIT)}


def amount_of(value):
    if value < 0:
        raise RpcError(PARAMS, "an amount is not negative")
    return Decimal(str(value))


def check_budget(params):
    session, cost = session_of(params), amount_of(params["estimatedCost"])
    allowed = session["consumed"] + cost <= LIMIT
    return {"allowed": allowed, **budget(session)} | ({} if allowed else {"reason": "more than remains"})


async def consume_budget(params):
    session, amount = session_of(params), amount_of(params["amount"])
    total = session["consumed"] + amount
    if total > LIMIT:
        data = budget(session) | {"requested": params["amount"]}
        if mistake == 2:
            session["consumed"] = LIMIT
        raise RpcError(OVER_BUDGET, "Budget exceeded", data)
    if mistake == 5:
        await asyncio.sleep(0.01)
        total = session["consumed"] + amount
    session["consumed"] = total
    return {"remaining": budget(session)["remaining"]}


def get_budget_status(params):
    return budget(session_of(params))


def check_rate_limit(params):
    key, limit, window, now = params["key"], params["limit"], params["window"], time.time() * 1000
    count, reset = uses.get(key, (0, 0))
    if now >= reset:
        count, reset = 0, now + window
    allowed = count < limit or (mistake == 4 and count == limit)
    count += allowed
    uses[key] = (count, reset)
    return {"allowed": allowed, "remaining": max(0, limit - count), "resetAt": round(reset)}


# JSON-RPC, section 2.2: the methods with their parameters, `?` for optional ones

METHODS = {
    "state.createSession": (create_session, "agentName?:string agentType?:string peerId?:string model?:string metadata?:object"),
    "state.getSession": (get_session, "sessionId:string"),
    "state.setState": (set_state, "sessionId:string key:string value:any"),
    "state.getState": (get_state, "sessionId:string key:string"),
    "state.endSession": (end_session, "sessionId:string"),
    "state.recordEpisode": (record_episode, "sessionId:string outcome:string reward:number"),
    "guard.validate": (validate, "data:any schema:any"),
    "guard.checkSafety": (check_safety, "content:string policy?:any"),
    "guard.checkBudget": (check_budget, "sessionId:string estimatedCost:number"),
    "guard.consumeBudget": (consume_budget, "sessionId:string amount:number description?:string"),
    "guard.checkRateLimit": (check_rate_limit, "key:string limit:integer window:number"),
    "guard.getBudgetStatus": (get_budget_status, "sessionId:string"),
}


def checked(params, signature):
    if not isinstance(params, dict):
        raise RpcError(PARAMS, "params are an object")
    for part in signature.split():
        name, kind = part.split(":")
        if name.rstrip("?") not in params:
            if not name.endswith("?"):
                raise RpcError(PARAMS, f"{name} is missing")
        elif not KINDS[kind](params[name.rstrip("?")]):
            raise RpcError(PARAMS, f"{name.rstrip('?')} is no {kind}")
    return params


async def answer(request):
    """The answer to one request, or None to one without an id."""
    request_id = request.get("id") if isinstance(request, dict) else None
    if isinstance(request_id, bool) or not isinstance(request_id, (str, int, float)):
        request_id = None
    try:
        if not isinstance(request, dict) or request.get("jsonrpc") != "2.0" or not isinstance(request.get("method"), str):
            raise RpcError(REQUEST, "Invalid request")
        if request_id is None and "id" in request:
            raise RpcError(REQUEST, "an id is a string or a number")
        if request["method"] not in METHODS:
            raise RpcError(METHOD, "Method not found")
        method, signature = METHODS[request["method"]]
        result = method(checked(request.get("params", {}), signature))
        body = {"result": await result if asyncio.iscoroutine(result) else result}
    except RpcError as error:
        if isinstance(request, dict) and "id" not in request and error.error["code"] != REQUEST:
            return None
        body = {"error": error.error}
    if isinstance(request, dict) and "id" not in request and "result" in body:
        return None
    return {"jsonrpc": "2.0", **body, "id": request_id}


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


def finite(text):
    return float(text) if math.isfinite(float(text)) else refuse(text)


async def respond(socket, message):
    try:
        request = json.loads(message, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError):
        reply = {"jsonrpc": "2.0", "error": {"code": PARSE, "message": "Parse error"}, "id": None}
    else:
        if isinstance(request, list) and request:
            reply = [one for one in [await answer(part) for part in request] if one is not None] or None
        else:
            reply = await answer(request)
    if reply is not None:
        try:
            await socket.send(json.dumps(reply))
        except ConnectionClosed:
            pass


async def client(socket):
    async with asyncio.TaskGroup() as tasks:
        try:
            async for message in socket:
                tasks.create_task(respond(socket, message))
        except ConnectionClosed:
            pass


async def main():
    global mistake
    parser = argparse.ArgumentParser(description="A small Hyperspace node: state and guard.")
    parser.add_argument("port", type=int, nargs="?", default=3100)
    numbered = "; ".join(f"{number}: {text}" for number, text in MISTAKES.items())
    parser.add_argument("--mistake", type=int, choices=MISTAKES, default=0, help=numbered)
    options = parser.parse_args()
    mistake = options.mistake
    async with serve(client, "127.0.0.1", options.port, max_size=8 << 20) as server:
        print(f"ws://127.0.0.1:{options.port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
