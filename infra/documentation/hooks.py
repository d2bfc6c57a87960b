"""Hooks of mkdocs (mkdocs.yml): add the pages of reference, so that they are as new as the code whenever the site is built."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from infra.documentation.reference import PAGES


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add one page for each entry of PAGES."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
