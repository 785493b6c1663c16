"""Sphinx builds the site from what stage.py has laid out."""

import os

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

project = "libconsul_lock"
copyright = "the authors of libconsul_lock"
version = release = os.environ["SITE_VERSION"]
extensions = ["myst_parser"]
root_doc = "index"
highlight_language = "text"
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

# Anchors as the code hosts make them.
myst_heading_anchors = 4
# A comment of the source is none of the page.
c_maximum_signature_line_length = cpp_maximum_signature_line_length = 60
toc_object_entries_show_parents = "hide"
cpp_index_common_prefix = ["consul_locks::"]
# Terraform's HCL, which Pygments knows, is stricter than Consul's.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"libconsul_lock {release}"
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#a3174f", "color-brand-content": "#a3174f",
                            "color-brand-visited": "#7a1f63"},
    "dark_css_variables": {"color-brand-primary": "#f48fb1", "color-brand-content": "#f48fb1",
                           "color-brand-visited": "#ce93d8"},
}


class Linked(SphinxTransform):
    """A function, type or constant of C that stands as code in the text leads to its description."""

    default_priority = 300

    def apply(self):
        if self.env.docname.startswith("interface/c"):
            return
        for node in list(self.document.findall(nodes.literal)):
            text = node.astext().removesuffix("()")
            inside = node.parent
            while inside is not None and not isinstance(inside, (nodes.reference, addnodes.pending_xref, nodes.title)):
                inside = inside.parent
            if inside is not None or not text.replace("_", "").isalnum() or not text.lower().startswith("consul_lock_"):
                continue
            reference = addnodes.pending_xref(
                "", refdomain="c", reftype="identifier", reftarget=text, refdoc=self.env.docname, refwarn=False)
            node.replace_self(reference)
            reference += node


def setup(app):
    app.add_transform(Linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
