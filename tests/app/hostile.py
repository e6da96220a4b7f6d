"""Strings that mean something to a browser, a terminal, a spreadsheet or a file system, and must mean nothing here."""

HOSTILE = [
    "<script>window.hurt = 1</script>",
    "<img src=x onerror='window.hurt = 1'>",
    '"><svg onload=window.hurt=1>',
    "</template><script>window.hurt = 1</script>",
    "</style><script>window.hurt = 1</script>",
    "javascript:window.hurt=1",
    "{{7*7}} ${7*7} #{7*7}",
    "evil\u202egnp.exe",
    "\u2066hidden\u2069",
    "zero\u200bwidth\ufeffjoin\u00adsoft",
    '=HYPERLINK("http://x.example","click")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "＝1+1",
    "'=1+1",
    "'",
    "",
    "../../../etc/passwd",
    "..\\..\\windows\\system32",
    "a/b\\c:d*e?f",
    "name\r\nSet-Cookie: hurt=1",
    "\x1b[31mred\x1b[2J",
    "[bold]rich[/] [/nothing]",
    "null\x00byte",
    "' OR 1=1 --",
    "👩\u200d🚀 e\u0301 狐",
    "%00%2e%2e%2f",
]


def is_a_formula(cell: str) -> bool:
    """Whether a spreadsheet would calculate a cell; a plain negative number is none."""
    try:
        float(cell)
    except ValueError:
        return cell.lstrip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠") and cell.strip() != ""
    return False
