"""Reads the pages that reports are."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "rect", "line"}


class Page(HTMLParser):
    """Checks that every element is closed, and keeps texts and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.attributes, self.tags, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
