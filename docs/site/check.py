"""Looks at the site as a reader does, in a browser of the width of a phone.

    check.py FOLDER [PICTURES]    with PICTURES: also leaves screenshots there
"""

import functools
import http.server
import sys
import threading
import urllib.parse
from pathlib import Path

from browser import Browser

PHONE = 390

# What a page has, and what is wrong with it that the page itself can tell.
LOOK = """(() => {
  // The theme lets a part of the page scroll where the whole does not: that is the same to a reader.
  const parts = [];
  for (let it = document.querySelector('article'); it; it = it.parentElement) parts.push(it);
  const over = Math.max(...parts.map(it => it.scrollWidth - it.clientWidth));
  const wide = [...document.querySelectorAll('article *')].filter(it => {
    if (it.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let up = it.parentElement; !parts.includes(up); up = up.parentElement)
      if (getComputedStyle(up).overflowX !== 'visible') return false;
    return true;
  });
  return {
    over,
    wide: wide.slice(0, 3).map(it => it.outerHTML.slice(0, 100)),
    links: [...document.querySelectorAll('a[href]')].map(it => it.href),
    ids: [...document.querySelectorAll('[id]')].map(it => it.id),
    pictures: [...document.images].filter(it => !it.complete || !it.naturalWidth).map(it => it.src),
    title: document.title, words: document.body.innerText.length,
  };
})()"""

# The contrast of the text to what is behind it.
CONTRAST = """(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(it => (it /= 255) <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
    .reduce((sum, it, at) => sum + it * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = it => {
    for (; it; it = it.parentElement) {
      const colour = parts(getComputedStyle(it).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.9) return light(colour);
    }
    return light([255, 255, 255]);
  };
  const bad = [];
  for (const it of document.querySelectorAll('article p, article a, article td, article pre span, article li, article dt, h1, h2')) {
    if (!it.innerText || !it.innerText.trim()) continue;
    const [a, b] = [light(parts(getComputedStyle(it).color)), behind(it)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.45) bad.push(contrast.toFixed(1) + ' ' + it.innerText.slice(0, 40));
  }
  return { bad: bad.slice(0, 3), background: behind(document.body) };
})()"""

SEARCH = """new Promise(resolve => {
  const begun = Date.now();
  (function look() {
    const found = [...document.querySelectorAll('#search-results li a')].map(it => it.href);
    if (found.length || Date.now() - begun > 10000) resolve(found); else setTimeout(look, 50);
  })();
})"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Site:
    def __init__(self, folder):
        self.folder, self.mistakes = folder, []
        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        self.browser = Browser()

    def wrong(self, page, what):
        self.mistakes.append(f"{page}: {what}")

    def watch(self, page, events):
        """No request leaves this machine, none fails, and no script does."""
        for event in events:
            params = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith((self.address, "data:", "about:", f"file://{self.folder}")):
                    self.wrong(page, f"a request to {url}")
            elif event["method"] == "Network.responseReceived" and params["response"]["status"] >= 400:
                self.wrong(page, f"{params['response']['status']} for {params['response']['url']}")
            elif event["method"] == "Runtime.exceptionThrown":
                self.wrong(page, f"a script failed: {params['exceptionDetails'].get('exception', {}).get('description')}")
            elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
                self.wrong(page, f"an error: {params['entry']['text']}")

    def crawl(self):
        """From the first page to all others."""
        self.browser.width(PHONE, 844, phone=True)
        waiting, seen, ids, wanted = ["index.html"], {"index.html"}, {}, []
        while waiting:
            page = waiting.pop()
            events = self.browser.open(self.address + page)
            look = self.browser.run(LOOK)
            self.watch(page, events)
            ids[page] = set(look["ids"])
            if look["over"] > 0:
                self.wrong(page, f"{look['over']} px too wide for a phone: {look['wide']}")
            for picture in look["pictures"]:
                self.wrong(page, f"a picture that cannot be shown: {picture}")
            if look["words"] < 100 or not look["title"]:
                self.wrong(page, "nothing on it")
            for link in look["links"]:
                url = urllib.parse.urlsplit(link)
                if not link.startswith(self.address):
                    if url.scheme not in ("https", "http", "mailto") or url.hostname == "127.0.0.1":
                        self.wrong(page, f"a link to {link}")
                    continue
                to = urllib.parse.unquote(url.path[1:]) or "index.html"
                wanted.append((page, to, urllib.parse.unquote(url.fragment)))
                if to not in seen and to.endswith(".html"):
                    seen.add(to)
                    if (self.folder / to).is_file():
                        waiting.append(to)
        for page, to, anchor in wanted:
            if not (self.folder / to).is_file():
                self.wrong(page, f"a link to {to}, which does not exist")
            elif anchor and anchor not in ids.get(to, ()):
                self.wrong(page, f"a link to {to}#{anchor}: no such place")
        # The form for the search leads to its page.
        built = {it.relative_to(self.folder).as_posix() for it in self.folder.rglob("*.html")} - {"search.html"}
        for page in sorted(built - set(ids)):
            self.wrong(page, "cannot be reached from the first page")
        self.pages = sorted(ids)

    def search(self, address):
        """Typed into the sidebar, the name of a function leads to its description."""
        browser = self.browser
        browser.width(1280)
        self.watch(address, browser.open(address + "index.html"))
        browser.events = []
        browser.run("document.querySelector('.sidebar-search').focus()")
        browser.call("Input.insertText", text="consul_lock_renew")
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13)
        browser.until(lambda it: it["method"] == "Page.lifecycleEvent" and it["params"]["name"] == "load")
        found = browser.run(SEARCH)
        self.watch("search", browser.events)
        if not found or not found[0].split("?")[0].split("#")[0].endswith("interface/c.html") or "#c.consul_lock_renew" not in found[0]:
            self.wrong("search", f"consul_lock_renew leads to {found[:3]}")
            return
        browser.open(found[0])
        if "consul_lock_renew" not in (browser.run("document.getElementById('c.consul_lock_renew')?.innerText") or ""):
            self.wrong("search", "what was found is not there")

    def themes(self):
        """Text can be read in the light and in the dark, whether the system or the reader chooses."""
        backgrounds = {}
        for scheme in ("light", "dark"):
            self.browser.scheme(scheme)
            for page in ("index.html", "docs/benchmarks.html", "docs/languages.html", "interface/c.html"):
                self.browser.open(self.address + page)
                look = self.browser.run(CONTRAST)
                backgrounds[scheme] = look["background"]
                for text in look["bad"]:
                    self.wrong(page, f"{scheme}: hard to read: {text}")
        if not (backgrounds["light"] > 0.8 and backgrounds["dark"] < 0.1):
            self.wrong("themes", f"backgrounds: {backgrounds}")
        # The button wins over the system, for pictures too.
        for scheme, other in (("light", "dark"), ("dark", "light")):
            self.browser.scheme(scheme)
            self.browser.run(f"document.body.dataset.theme = '{other}'")
            if self.browser.run("getComputedStyle(document.body).colorScheme") != other:
                self.wrong("themes", f"pictures do not follow the button to {other}")
        self.browser.scheme("light")

    def pictures(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for width, height in ((1280, 900), (PHONE, 844)):
            self.browser.width(width, height, phone=width == PHONE)
            for scheme in ("light", "dark"):
                self.browser.scheme(scheme)
                for page in ("index.html", "docs/benchmarks.html", "docs/options.html", "docs/languages.html",
                             "interface/c.html", "interface/cpp.html", "bindings/go.html"):
                    self.browser.open(self.address + page)
                    name = page.removesuffix(".html").replace("/", "-")
                    self.browser.picture(folder / f"{name}-{width}-{scheme}.png", whole=True)


def main():
    site = Site(Path(sys.argv[1]).resolve())
    try:
        site.crawl()
        site.search(site.address)
        site.search(f"file://{site.folder}/")
        site.themes()
        if len(sys.argv) > 2:
            site.pictures(Path(sys.argv[2]))
    finally:
        site.browser.close()
    for mistake in site.mistakes:
        print(mistake, file=sys.stderr)
    print(f"{len(site.pages)} pages, {len(site.mistakes)} mistakes")
    return 1 if site.mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
