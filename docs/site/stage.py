"""Lays out the sources of the site: the Markdown of the repository under names of its own, with
links that work there, and the pages of the C and C++ interface.

    stage.py ROOT DOXYGEN-XML-OF-C++ OUT
"""

import posixpath
import re
import shutil
import sys
from pathlib import Path

import interface

# The pages that do not stand in docs/, and what they are called on the site.
ELSEWHERE = {
    "README.md": "index",
    "bindings/cpp/README.md": "bindings/cpp",
    "bindings/go/README.md": "bindings/go",
    "bindings/ruby/README.md": "bindings/ruby",
    "bindings/node/README.md": "bindings/node",
    "bindings/python/README.md": "bindings/python",
    "bindings/conformance/README.md": "bindings/conformance",
    "benches/peers/README.md": "docs/peers",
    "packaging/README.md": "packaging",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "RELEASING.md": "releasing",
}
# The sidebar. A page of docs/ that is missing here comes last in the first part.
SIDEBAR = [
    ("Use it", ["docs/install", "docs/guide", "docs/languages", "docs/options", "docs/command", "docs/dev", "docs/acl", "docs/operating",
                "docs/threading", "..."]),
    ("Languages", ["interface/*", "bindings/cpp", "bindings/go", "bindings/ruby", "bindings/node",
                   "bindings/python"]),
    ("How it works", ["docs/guarantees", "docs/protocol", "docs/correctness", "docs/benchmarks"]),
    ("The project", ["changelog", "docs/abi-policy", "contributing", "releasing", "packaging", "security",
                     "docs/adr/index", "bindings/conformance", "docs/peers", "genindex"]),
]


class Stage:
    def __init__(self, root, out):
        self.root, self.out = root, out
        self.pages = {path: name for path, name in ELSEWHERE.items() if (root / path).exists()}
        for path in sorted((root / "docs").rglob("*.md")):
            below = path.relative_to(root).as_posix()
            self.pages[below] = below.removesuffix(".md").lower()
        # What a link to a folder or to a header means on the site.
        self.others = {"docs/adr": "docs/adr/index", "include/consul_lock.hpp": "interface/cpp"}

    def interface(self, folder):
        pages, names = interface.c_pages(self.root)
        pages["cpp"] = interface.cpp_page(self.root, folder, names)
        for name, text in pages.items():
            if name != "cpp":
                header = name.replace("c", "consul_lock", 1).replace("-", "_")
                self.others[f"include/{header}.h"] = f"interface/{name}"
            self.write(f"interface/{name}.rst", text)
        self.interfaces = [f"interface/{name}" for name in pages]

    def write(self, name, text):
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def link(self, path, name, target):
        """What the link of a document is on the site."""
        if re.match(r"[a-z]+:|#", target):
            return target
        file, mark, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        page = self.pages.get(file) or self.others.get(file)
        here = posixpath.dirname(name)
        if page:
            suffix = ".md" if file in self.pages or page.endswith("adr/index") else ".rst"
            return posixpath.relpath(page + suffix, here or ".") + mark + anchor
        source = self.root / file
        if source.is_dir():
            files = sorted(it for it in source.rglob("*") if it.is_file() and it.suffix not in (".sum",))
            page = f"sources/{file}"
            self.sources(page, file, files)
            return posixpath.relpath(page + ".rst", here or ".")
        if not source.is_file():
            raise interface.Mistake(f"{path}: a link to {target}, which does not exist")
        if source.suffix in (".svg", ".png"):
            (self.out / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, self.out / file)
            return posixpath.relpath(file, here or ".")
        self.sources(f"sources/{file}", file, [source])
        return posixpath.relpath(f"sources/{file}.rst", here or ".")

    def sources(self, page, heading, files):
        """A page that shows files as they are."""
        languages = {".c": "c", ".cpp": "cpp", ".go": "go", ".rb": "ruby", ".mjs": "javascript", ".cjs": "javascript",
                     ".py": "python"}
        out = [":orphan:\n", interface.title(heading, "=")]
        for file in files:
            if len(files) > 1:
                out.append(interface.title(file.name, "-"))
            language = languages.get(file.suffix, "text")
            out.append(f".. code-block:: {language}\n\n{interface.indented(file.read_text(), 3)}\n")
        self.write(f"{page}.rst", "\n".join(out))

    def document(self, path, name):
        text = (self.root / path).read_text()
        # What is code is left as it is.
        parts = re.split(r"(?ms)(^```.*?^```$|`[^`\n]+`)", text)
        for at in range(0, len(parts), 2):
            parts[at] = re.sub(r"\]\(([^)\s]+)\)", lambda it: f"]({self.link(path, name, it[1])})", parts[at])
        text = "".join(parts)
        # A page is called by its title, not by its file.
        return re.sub(r"\[(?:\.\./)*[\w./-]+\.md\](?=\([^)#]+\))", "[]", text)

    def sidebar(self):
        out = []
        listed = {name for _, names in SIDEBAR for name in names}
        for caption, names in SIDEBAR:
            found = []
            for name in names:
                if name == "...":
                    found += [it for it in self.pages.values() if it.count("/") == 1 and it.startswith("docs/") and it not in listed]
                elif name.endswith("*"):
                    found += self.interfaces
                elif name in self.pages.values() or name in ("docs/adr/index", "genindex"):
                    found.append(name)
            titles = {"genindex": "Index", "bindings/conformance": "Conformance", "docs/peers": "Other clients",
                      "bindings/cpp": "C++", "bindings/go": "Go", "bindings/ruby": "Ruby", "bindings/node": "Node",
                      "bindings/python": "Python"}
            rows = [f"{titles[it]} <{it}>" if it in titles else it for it in found]
            out.append("```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(rows) + "\n```\n")
        return "\n".join(out)

    def decisions(self):
        names = sorted(name for name in self.pages.values() if name.startswith("docs/adr/"))
        rows = "\n".join(name.removeprefix("docs/adr/") for name in names)
        self.write("docs/adr/index.md",
                   "# Decisions\n\nWhy things are as they are, one page a decision.\n\n"
                   "```{toctree}\n:maxdepth: 1\n\n" + rows + "\n```\n")

    def all(self, folder):
        self.interface(folder)
        self.decisions()
        for path, name in self.pages.items():
            text = self.document(path, name)
            if name == "index":
                text += "\n" + self.sidebar()
            self.write(f"{name}.md", text)


if __name__ == "__main__":
    try:
        out = Path(sys.argv[3])
        shutil.rmtree(out, ignore_errors=True)
        Stage(Path(sys.argv[1]), out).all(Path(sys.argv[2]))
    except interface.Mistake as mistake:
        sys.exit(str(mistake))
