"""contract - data/api/openapi.yaml as the tests use it: its operations, whether an answer fits its schema, and requests made up from it.

Only what the contract uses of JSON Schema is understood."""
import http.client
import json
import os
import random

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
METHODS = ("get", "post", "put", "patch", "delete")
NAUGHTY = ["", " ", "\r\nX-Evil: 1", "\nX-Evil: 1", "a\rb", "a\u0085b", "a\u2028b", "'\"<script>", "../../etc/passwd", "%00", "{{ a", "{% if %}", "=1+1", "-1", "0", "9" * 40,
           "日本語", "\U0001f4ee", "a" * 5000, "null", "true", "{}", "[]", "\u202e", "a@b", "@", "1e999", "\x7f", "%0d%0aX-Evil:1"]


class Contract:
    def __init__(self):
        with open(os.path.join(ROOT, "data", "api", "openapi.yaml"), encoding="utf-8") as file:
            self.document = yaml.load(file, Loader=yaml.BaseLoader)
        with open(os.path.join(ROOT, "data", "api", "openapi.yaml"), encoding="utf-8") as file:
            self.typed = yaml.safe_load(file)

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            at = self.typed
            for part in node["$ref"][2:].split("/"):
                at = at[part]
            node = at
        return node

    def operations(self):
        """(path, method, operation with its path's parameters)"""
        for path, node in self.typed["paths"].items():
            for method in METHODS:
                if method in node:
                    operation = dict(node[method])
                    operation["parameters"] = [self.resolve(one) for one in node.get("parameters", []) + operation.get("parameters", [])]
                    yield path, method.upper(), operation

    def scope(self, operation):
        """None: any key; "-": no key."""
        if "security" not in operation:
            return None
        return operation["security"][0]["key"][0] if operation["security"] else "-"

    # ── does it fit? ──

    def misfit(self, schema, value, at="answer"):
        """"" when the value fits, else where and why not."""
        schema = self.resolve(schema)
        for part in schema.get("allOf", []):
            if wrong := self.misfit(part, value, at):
                return wrong
        if "oneOf" in schema:
            fitting = [not self.misfit(part, value, at) for part in schema["oneOf"]]
            return "" if sum(fitting) == 1 else f"{at}: fits {sum(fitting)} of oneOf"
        kinds = schema.get("type")
        if kinds:
            names = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict, "null": type(None)}
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if not any(isinstance(value, names[kind]) and not (kind in ("integer", "number") and isinstance(value, bool)) for kind in kinds):
                return f"{at}: {value!r} is no {kinds}"
        if "enum" in schema and value not in schema["enum"]:
            return f"{at}: {value!r} is none of the words"
        if isinstance(value, dict):
            for name in schema.get("required", []):
                if name not in value:
                    return f"{at}.{name}: missing"
            for name, part in schema.get("properties", {}).items():
                if name in value and (wrong := self.misfit(part, value[name], f"{at}.{name}")):
                    return wrong
        if isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                if wrong := self.misfit(schema["items"], item, f"{at}[{index}]"):
                    return wrong
        return ""

    def judge(self, operation, status, kind, body):
        """"" when the answer is one that the contract knows, and fits."""
        responses = operation["responses"]
        if status in (400, 405, 413) and kind.startswith("text/plain") and body.startswith(b"4"): # said by the server before it found a route
            return ""
        if str(status) not in responses:
            return "" if status in (400, 401, 403, 404, 409, 413, 429) and "problem" in kind else f"{status} is not in the contract"
        content = self.resolve(responses[str(status)]).get("content", {})
        if not content:
            return "" if not body else "an answer where none should be"
        name = kind.split(";")[0]
        if name not in content:
            return "" if "text/csv" in content and name in ("application/json", "application/x-ndjson") or name == "application/x-ndjson" else f"of type {kind}"
        return self.misfit(content[name]["schema"], body) if name.endswith("json") and not isinstance(body, bytes) else ""

    # ── made up ──

    def made_up(self, schema, rng, ids, depth=0):
        """A value that mostly fits."""
        schema = self.resolve(schema)
        if rng.random() < 0.06:
            return rng.choice(NAUGHTY + [None, 0, -1, 2 ** 63, 1.5, True, [], {}, ["a"], {"a": 1}])
        if "oneOf" in schema:
            return self.made_up(rng.choice(schema["oneOf"]), rng, ids, depth)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type")
        kind = rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object" or "properties" in schema:
            made = {}
            for name, part in schema.get("properties", {}).items():
                if name in schema.get("required", []) and rng.random() < 0.95 or rng.random() < 0.3:
                    made[name] = self.made_up(part, rng, ids, depth + 1)
            if not schema.get("properties") or rng.random() < 0.03:
                made[rng.choice(["X-A", "a", "", "Bcc", "日本", "a\r\nX-Evil"])] = rng.choice(["1", 1, None, "a\nb", {"b": [1]}])
            return made
        if kind == "array":
            return [self.made_up(schema.get("items", {}), rng, ids, depth + 1) for _ in range(rng.choice([0, 1, 1, 2, 3]))] if depth < 5 else []
        if kind == "integer":
            return rng.choice([schema.get("minimum", 0), schema.get("maximum", 10), 1, 7, -1, 10 ** 12])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "null":
            return None
        if schema.get("format") == "date-time":
            return rng.choice(["2027-01-01T00:00:00Z", "2020-01-01T00:00:00+09:00", "2027-13-01T00:00:00Z", "now"])
        return rng.choice(ids + ["a@good.example", "花 <b@good.example>", "Hello {{ name }}", "x", "<p>{{ a | upcase }}</p>", "shop"] + NAUGHTY)


class Api:
    """A key, and one keep-alive connection."""

    def __init__(self, where, secret):
        self.where, self.secret, self.connection = where, secret, None

    def ask(self, method, path, body=None, headers=None, raw=None):
        """Status, headers, body: parsed where it is JSON. A connection that the server closed is opened again once."""
        headers = {"Authorization": "Bearer " + self.secret, **(headers or {})} if self.secret else dict(headers or {})
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        for attempt in range(2):
            try:
                if not self.connection:
                    self.connection = http.client.HTTPConnection(self.where, timeout=90)
                self.connection.request(method, "/api/v1" + path, data, headers)
                answer = self.connection.getresponse()
                said = answer.read()
                break
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError):
                self.connection = None
                if attempt:
                    raise
        if answer.will_close:
            self.connection.close()
            self.connection = None
        kind = answer.headers.get("Content-Type", "")
        if kind.split(";")[0] in ("application/json", "application/problem+json"):
            said = json.loads(said)
        return answer.status, answer.headers, said


def seeded(seed):
    return random.Random(seed)
