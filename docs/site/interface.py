"""The pages of the C and the C++ interface.

C is read from the headers themselves: each declaration with the comment above it, in the header's
order, under the header's banners. C++ is read from Doxygen's XML. Both refuse what is not
documented; that the names behind @param are right, Doxygen checks.
"""

import json
import re
import xml.etree.ElementTree as xml

# Parameters that mean the same everywhere: the prefaces of the headers describe them.
IN_THE_PREFACE = ("lock options client error holder holders observer queue event sender buf cap value len done user_data "
                  "user_data_free").split()
KINDS = {
    "constant": "Constants",
    "type": "Types",
    "callback": "Callbacks",
    "enum": "Enumerations",
}
# Where a header has no banners, its functions are grouped by their names.
GROUPS = [
    ("Options", r"options_"),
    ("Clients and defaults", r"client_|defaults_|set_default_client"),
    ("Errors", r"error_|status_name|lost_reason_name"),
    ("The holder of a lock", r"holder"),
    ("Values", r"set_value_generator|value_set"),
    ("Events and queues", r"queue_|event_|ticket_|sender_|bind_to_queue"),
    ("The process", r"set_log_callback|version|abi_version|shutdown"),
    ("A lock", r""),
]


class Mistake(Exception):
    """Something in a header that cannot stand."""


# ---- Text ----

def escaped(text):
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def inline(text, names):
    """A comment's text as reStructuredText. `names` says what each name of the interface is."""
    out, at = [], 0
    pattern = r"`([^`\n]+)`|\"([a-z]+(?:_[a-z]+)+|value|address|token)\"|docs/([\w/-]+)\.md|\b(consul_locks?\w*(?:\.h(?:pp)?\b|(?:::\w+)+)?|CONSUL_LOCK\w+)\b(\(\))?"
    for found in re.finditer(pattern, text):
        out.append(escaped(text[at:found.start()]))
        at = found.end()
        code, option, page, name, call = found.groups()
        if code or option:
            out.append(f"``{code or option}``")
        elif page:
            out.append(f":doc:`/docs/{page.lower()}`")
        elif name in names:
            out.append(f":{names[name]}:`{name}`")
        else:
            out.append(f"``{name}{call or ''}``")
        # An inline mark ends before a space or a point.
        if text[at:at + 1].isalnum():
            out.append("\\ ")
    out.append(escaped(text[at:]))
    return "".join(out)


def indented(text, by):
    return "\n".join(" " * by + line if line else "" for line in text.split("\n"))


def prose(text, names, language):
    """Paragraphs, lists, and what is indented as code."""
    parts = []
    for block in re.split(r"\n[ \t]*\n", text.strip("\n")):
        lines = block.split("\n")
        # Text and code may follow each other without an empty line.
        runs = []
        for line in lines:
            is_code = line.startswith("  ") and not (runs and runs[-1][0] == "list")
            kind = "code" if is_code else "list" if re.match(r"\s*[-*] ", line) or (
                runs and runs[-1][0] == "list") else "text"
            if runs and runs[-1][0] == kind:
                runs[-1][1].append(line)
            else:
                runs.append((kind, [line]))
        for kind, run in runs:
            if kind == "code":
                least = min(len(line) - len(line.lstrip()) for line in run if line.strip())
                code = "\n".join(line[least:] for line in run)
                if parts and parts[-1][0] == "code":
                    parts[-1] = ("code", parts[-1][1] + "\n\n" + code)
                else:
                    parts.append(("code", code))
            elif kind == "list":
                items = re.split(r"(?:^|\n)\s*[-*] ", "\n".join(run))[1:]
                parts.append(("text", "\n".join(
                    "* " + inline(" ".join(item.split()), names) for item in items)))
            else:
                parts.append(("text", inline(" ".join(line.strip() for line in run), names)))
    return "\n\n".join(
        f".. code-block:: {language}\n\n{indented(text, 3)}" if kind == "code" else text
        for kind, text in parts
    )


def outcomes(text, names):
    """The statuses that a function answers, as a list."""
    text = " ".join(text.split())
    parts = re.split(r"[;.] (?=CONSUL_LOCK_[A-Z_]+(?:, CONSUL_LOCK_[A-Z_]+)*(?: also)?[:;.])", text)
    if len(parts) < 2:
        return inline(text, names)
    head, sep, first = parts[0].partition("CONSUL_LOCK_")
    lines = [inline(head.strip(), names), ""] if head.strip() else []
    parts[0] = sep + first
    return "\n".join(lines + ["* " + inline(part.rstrip(".;"), names) for part in parts])


def title(text, mark):
    return f"{text}\n{mark * len(text)}\n"


# ---- C ----

def comment_text(raw):
    """What stands in a comment, without its marks."""
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in raw.strip("\n").split("\n")]
    lines[0] = lines[0].lstrip("*! ")
    return "\n".join(line.rstrip() for line in lines).strip("\n ")


def described(text, where):
    """The parts of a comment: its text, its parameters, what is returned."""
    body, params, returned = [], {}, None
    target = body
    for line in text.split("\n"):
        found = re.match(r"[@\\](param|return|returns)\b(?:\[\w+\])?\s*(.*)", line)
        if found and found[1] == "param":
            name, _, rest = found[2].partition(" ")
            if name in params:
                raise Mistake(f"{where}: @param {name} stands twice")
            target = params[name] = [rest]
        elif found:
            target = returned = [found[2]]
        elif re.match(r"[@\\](file|brief|name|defgroup|addtogroup|ingroup|[{}])", line):
            line = re.sub(r"[@\\](brief ?|[{}]|(file|name|defgroup|addtogroup|ingroup).*)", "", line)
            target.append(line)
        else:
            target.append(line.strip() if target is not body else line)
    return ("\n".join(body).strip("\n"), {name: " ".join(text) for name, text in params.items()},
            None if returned is None else " ".join(returned))


class Header:
    """A C header: its preface, and its declarations in their order."""

    def __init__(self, path):
        self.name = path.name
        text = path.read_text()
        # A line that says what the file was made from is no preface.
        found = next(it for it in re.finditer(r"(?s)/\*(.*?)\*/", text) if "\n" in it[1])
        begin, end = found.start(), found.end() - 2
        self.preface = described(comment_text(text[begin + 2:end]), path.name)[0]
        self.items, self.banners = [], []
        # What the preprocessor and C++ need says nothing here.
        rest = " " * (end + 2) + text[end + 2:]
        rest = re.sub(r'#ifdef __cplusplus\n(.*?)#endif[^\n]*', lambda it: re.sub(r"[^\n]", " ", it[0]), rest, flags=re.S)
        doc = r"/\*\*(?P<doc>(?:(?!\*/).)*)\*/\s*(?:#if[^\n]*\n)?"
        for found in re.finditer(
            rf"(?m)^(?:{doc})?(?P<declaration>#define (?P<constant>CONSUL_LOCK_\w+)(?P<macro>[^\n]*)"
            r"|typedef enum \{(?P<values>.*?)\} (?P<enum>\w+);"
            r"|typedef struct \w+ (?P<type>\w+);"
            r"|typedef [^;{]*?\(\*(?P<callback>\w+)\)[^;]*;"
            r"|(?:CONSUL_LOCK_MUST_USE\s+)?(?P<result>[\w ]+?[\s*]+)(?P<function>consul_lock_\w+)\([^;{]*\);)"
            r"|^/\*(?!\*)(?P<banner>(?:(?!\*/).)*)\*/", rest, flags=re.S):
            if found["banner"] is not None:
                self.banner(found)
            else:
                self.item(found, path)

    def banner(self, found):
        lines = [re.sub(r"^[\s*=#-]+|[\s*=#-]+$", "", line) for line in found["banner"].split("\n")]
        lines = [line for line in lines if line]
        if lines and len(lines[0]) < 60:
            self.banners.append((found.start(), lines[0].rstrip("."), "\n".join(lines[1:])))

    def item(self, found, path):
        kind = next(it for it in ("constant", "enum", "type", "callback", "function") if found[it])
        name = found[kind]
        if kind == "constant" and (name.endswith("_H") or name in [it["name"] for it in self.items]):
            return
        where = f"{path.name}: {name}"
        if found["doc"] is None:
            raise Mistake(f"{where} is not documented")
        body, params, returned = described(comment_text(found["doc"]), where)
        declaration = " ".join(found["declaration"].split()).rstrip(";")
        declaration = declaration.replace("CONSUL_LOCK_MUST_USE ", "").replace("( ", "(")
        item = {"kind": kind, "name": name, "at": found.start(), "text": body, "params": params,
                "returned": returned, "declaration": declaration, "values": []}
        if kind == "constant":
            item["value"] = found["macro"].strip() if "/*" not in found["macro"] else ""
        if kind == "enum":
            for value in re.finditer(r"(?:/\*\*((?:(?!\*/).)*)\*/\s*)?(CONSUL_LOCK_\w+) = (\d+)", found["values"], re.S):
                if value[1] is None:
                    raise Mistake(f"{path.name}: {value[2]} is not documented")
                item["values"].append((value[2], value[3], comment_text(value[1])))
        if kind == "function":
            declared = re.findall(r"(\w+)(?=[,)])", declaration[declaration.index("("):])
            declared = [it for it in declared if it != "void"]
            if list(params) != [it for it in declared if it in params or it not in IN_THE_PREFACE]:
                raise Mistake(f"{where}: @param {list(params)}, but its parameters are {declared}")
            # What only observes says in its first sentence what it answers.
            if returned is None and (declaration.endswith("consul_lock_error **error)") or "*" in found["result"]):
                raise Mistake(f"{where}: @return is missing")
            if returned is not None and re.fullmatch(r"void\s+", found["result"]):
                raise Mistake(f"{where}: @return of nothing")
        self.items.append(item)

    def sections(self):
        """What is declared, under the banners; without banners, functions by their names, and the rest by kind."""
        if self.banners:
            under = {}
            for item in self.items:
                above = [banner for banner in self.banners if banner[0] < item["at"]]
                under.setdefault(above[-1] if above else (0, "More", ""), []).append(item)
            return [(head[1], head[2], items) for head, items in sorted(under.items(), key=lambda it: it[0][0] or 1 << 30)]
        functions = [it for it in self.items if it["kind"] == "function"]
        groups = {name: [] for name, _ in GROUPS}
        for item in functions:
            short = item["name"].removeprefix("consul_lock_")
            groups[next(name for name, pattern in GROUPS if re.match(pattern, short))].append(item)
        order = ["A lock", *(name for name, _ in GROUPS[:-1])]
        kinds = [(name, [it for it in self.items if it["kind"] == kind]) for kind, name in KINDS.items()]
        return [(name, "", items) for name, items in [*((name, groups[name]) for name in order), *kinds] if items]


ROLES = {"constant": "c:macro", "enum": "c:enum", "type": "c:type", "callback": "c:type",
         "function": "c:func"}


def names_of(headers):
    names = {}
    for item in (item for header in headers for item in header.items):
        names[item["name"]] = ROLES[item["kind"]]
        names.update({value[0]: "c:enumerator" for value in item["values"]})
    return names


def entry(item, names):
    out = []
    if item["kind"] == "constant":
        out.append(f".. c:macro:: {item['name']}\n")
    elif item["kind"] == "enum":
        out.append(f".. c:enum:: {item['name']}\n")
    elif item["kind"] == "type":
        out.append(f".. c:type:: {item['name']}\n")
    elif item["kind"] == "callback":
        out.append(f".. c:type:: {item['declaration'].removeprefix('typedef ')}\n")
    else:
        out.append(f".. c:function:: {item['declaration']}\n")
    out.append(indented(prose(item["text"], names, "c"), 3) + "\n")
    if item.get("value"):
        out.append(f"   Value: ``{item['value']}``\n")
    for name, text in item["params"].items():
        out.append(f"   :param {name}: {inline(' '.join(text.split()), names)}")
    if item["returned"] is not None:
        text = outcomes(item["returned"], names)
        if "\n" in text:
            out.append("   :returns:\n" + indented(text, 6))
        else:
            out.append(f"   :returns: {text}")
    out.append("")
    for name, number, text in item["values"]:
        out.append(f"   .. c:enumerator:: {name} = {number}\n")
        out.append(indented(prose(text, names, "c"), 6) + "\n")
    return "\n".join(out)


def preface(text, names):
    """Paragraphs that begin in capitals begin a section. A list of contents is the page's own."""
    text = re.sub(r"(?m)^CONTENTS\.?\n+(?:[ \t]+\S.*\n|\n)+(?=\S)", "", text)
    out = []
    for block in re.split(r"\n\s*\n", text):
        found = re.match(r"([A-Z][A-Z ]{3,40})\. ", block)
        if found and not found[1].startswith("CONSUL"):
            out.append(title(found[1].capitalize(), "^"))
            block = block[found.end():]
        out.append(block)
    # Code that was one block in the header stays one.
    text, parts = "\n\n".join(out), []
    for part in re.split(r"(?m)^([A-Z][^\n]*\n\^+\n)", text):
        parts.append(part if re.search(r"\n\^+\n$", part) else prose(part, names, "c"))
    return "\n\n".join(part for part in parts if part.strip())


def c_page(header, names, heading, note):
    out = [title(heading, "="), note, "", title("Before you call", "-") if header.preface else ""]
    out.append(preface(header.preface, names))
    for name, text, items in header.sections():
        out += ["", title(name, "-"), prose(text, names, "c") if text else "", ""]
        out += [entry(item, names) for item in items]
    return "\n".join(out) + "\n"


def c_pages(root):
    """The pages by name. Every function of abi/api.json stands on one of them, and no other."""
    headers = [Header(path) for path in sorted((root / "include").glob("*.h"), key=lambda it: len(it.name))]
    names = names_of(headers)
    api = json.loads((root / "abi/api.json").read_text())
    wanted = {function["name"] for function in api["functions"]}
    found = [item["name"] for header in headers for item in header.items if item["kind"] == "function"]
    if wanted != set(found) or len(found) != len(wanted):
        raise Mistake(f"abi/api.json and the headers differ: {sorted(wanted ^ set(found))}")
    pages = {}
    for header in headers:
        short = header.name.removesuffix(".h").replace("consul_lock", "c", 1).replace("_", "-")
        heading = "C interface" if short == "c" else f"C interface: {short.removeprefix('c-')}"
        pages[short] = c_page(header, names, heading, f"``#include <{header.name}>``")
    return pages, names


# ---- C++ ----

def flat(node):
    """The text of Doxygen's XML."""
    out = [node.text or ""]
    for child in node:
        if child.tag == "computeroutput":
            out.append("`" + "".join(child.itertext()) + "`")
        elif child.tag in ("parameterlist", "simplesect"):
            pass
        elif child.tag in ("verbatim", "preformatted", "programlisting"):
            lines = (code_line(line) for line in child.iter("codeline"))
            code = "\n".join(lines) if child.tag == "programlisting" else "".join(child.itertext())
            out.append("\n\n" + indented(code.strip("\n"), 4) + "\n\n")
        elif child.tag == "itemizedlist":
            out.append("\n\n" + "\n".join("- " + " ".join(flat(item).split()) for item in child) + "\n\n")
        else:
            out.append(flat(child))
        out.append(child.tail or "")
    return "".join(out)


def code_line(node):
    out = [node.text or ""]
    for child in node:
        out += [" " if child.tag == "sp" else code_line(child), child.tail or ""]
    return "".join(out)


def documented(member):
    brief, *more = [[flat(para).strip(" ") for para in member.find(part).findall("para")]
                    for part in ("briefdescription", "detaileddescription")]
    # Doxygen ends the brief text after the first sentence, which is none of a paragraph's ends.
    first = " ".join(brief + more[0][:1])
    return "\n\n".join([first] + more[0][1:]).strip()


def signature(member):
    """As it stands in the class, without its body."""
    template = member.find("templateparamlist")
    before = ""
    if template is not None:
        params = ", ".join("".join(it.find("type").itertext()) for it in template.findall("param"))
        before = f"template <{params}> "
    result = "".join(member.find("type").itertext()) if member.find("type") is not None else ""
    name = member.findtext("name")
    if member.get("kind") == "variable":
        static = "static " if member.get("static") == "yes" else ""
        return f"{static}{result} {name}"
    if member.get("kind") == "enum":
        return name
    explicit = "explicit " if member.get("explicit") == "yes" else ""
    static = "static " if member.get("static") == "yes" else ""
    args = re.sub(r"\s*=\s*(default|delete|0)$", "", member.findtext("argsstring"))
    return f"{before}{explicit}{static}{result} {name}{args}".replace("  ", " ").strip()


# What Sphinx calls the kinds of Doxygen; the others are functions.
DIRECTIVES = {"variable": "member", "typedef": "type", "enum": "enum-class"}


def cpp_page(root, folder, names):
    header = (root / "include/consul_lock.hpp").read_text()
    banners = [(header[:found.start()].count("\n") + 1, found[1])
               for found in re.finditer(r"(?m)^/\* -+ (.*?) -+ \*/", header)]
    space = xml.parse(folder / "namespaceconsul__locks.xml").getroot().find("compounddef")
    things = []
    for inner in space.findall("innerclass"):
        if inner.text.startswith("consul_locks::detail"):
            continue
        kind = xml.parse(folder / f"{inner.get('refid')}.xml").getroot().find("compounddef")
        members = [member for section in kind.findall("sectiondef") for member in section
                   if member.get("prot") == "public"]
        if members:
            line = int(kind.find("location").get("line"))
            things.append((line, kind, sorted(members, key=lambda it: int(it.find("location").get("line")))))
    for member in space.iter("memberdef"):
        things.append((int(member.find("location").get("line")), member, None))
    begin = header.index("/*")
    intro = comment_text(header[begin + 2:header.index("*/", begin)])
    out = [title("C++ interface", "="), "``#include <consul_lock.hpp>``\n", ".. cpp:namespace:: consul_locks\n",
           preface(described(intro, "consul_lock.hpp")[0], names).replace("code-block:: c\n", "code-block:: cpp\n")]
    functions, under = 0, None
    for line, thing, members in sorted(things, key=lambda it: it[0]):
        above = [name for at, name in banners if at < line]
        if above and above[-1] != under:
            under = above[-1]
            out += ["", title(under, "-")]
        text = documented(thing)
        name = thing.findtext("compoundname") or thing.findtext("name")
        if not text:
            raise Mistake(f"consul_lock.hpp:{line}: {name} is not documented")
        body = prose(text, names, "cpp")
        if members is None:
            functions += 1
            kind = DIRECTIVES.get(thing.get("kind"), "function")
            out.append(f".. cpp:{kind}:: {signature(thing)}\n\n{indented(body, 3)}\n")
            continue
        short = name.removeprefix("consul_locks::")
        out.append(f".. cpp:class:: {short}\n\n{indented(body, 3)}\n")
        for member in members:
            text = documented(member)
            own = member.findtext("name")
            kind = DIRECTIVES.get(member.get("kind"), "function")
            # A constructor without parameters, a move and a destructor say what they do themselves.
            if not text and own.lstrip("~") != short and not own.startswith("operator"):
                raise Mistake(f"consul_lock.hpp: {name}::{own} is not documented")
            out.append(f"   .. cpp:{kind}:: {signature(member)}\n\n{indented(prose(text, names, 'cpp'), 6)}\n")
    if functions < 10:
        raise Mistake(f"only {functions} functions of the namespace were found")
    return "\n".join(out) + "\n"
