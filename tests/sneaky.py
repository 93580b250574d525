"""sneaky - values that try to begin a line of their own: line ends, what some reader takes for one, and what decodes to one (X3)"""
BAD = ["\r\n", "\n", "\r", "\0", "\v", "\f", "\x1c", "\x1e", "\u0085", "\u2028", "\u2029", "\r\n\r\n", "\r\n\t", "=?UTF-8?Q?=0D=0A?=", "=?UTF-8?B?DQo=?=", "%0d%0a", "\\r\\n", "\u560d\u560a"]


def sneaky(bad):
    return f"a{bad}X-Evil: 1"
