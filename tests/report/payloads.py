"""Hostile texts for the report: what a model or a case might hold, by accident or on purpose.

Every script payload calls ``alert`` or sets ``window.pwned``; every payload that fetches names CANARY, a server that
counts its visitors.
"""

CANARY = "http://127.0.0.1:{port}/hit"

SCRIPTS = (
    "<script>alert(1)</script>",
    "<script src='CANARY'></script>",
    "</script><script>alert(1)</script>",
    "</ScRiPt\t><sCrIpT>window.pwned=1</sCrIpT>",
    "<script>/*</script>*/alert(1)//<script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</template><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "<!--<script>",
    "]]><script>alert(1)</script>",
    "<script type=module>import 'CANARY'</script>",
    "<script type='application/json' id='report-data'>{}</script>",
    "<script class=block type='application/gzip;base64'>AAAA</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "＜script＞alert(1)＜/script＞",
)
ATTRIBUTES = (
    "<img src=x onerror=alert(1)>",
    "<img src='CANARY'>",
    "<img src=x:x onerror='window.pwned=1'//",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)' x='",
    '" autofocus onfocus=alert(1) tabindex=1 x="',
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<audio src='CANARY' autoplay></audio>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<a href='javascript:alert(1)'>click</a>",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<iframe src='CANARY'></iframe>",
    "<object data='CANARY'></object>",
    "<embed src='CANARY'>",
    "<form action='CANARY'><button autofocus>Send</button></form>",
    "<base href='CANARY/'>",
    "<link rel=stylesheet href='CANARY'>",
    "<link rel=prefetch href='CANARY'>",
    "<link rel=dns-prefetch href='//canary.invalid'>",
    "<meta http-equiv=refresh content='0;url=CANARY'>",
    "<style>@import 'CANARY';</style>",
    "<style>body{background:url(CANARY);display:none}</style>",
    "<div style='position:fixed;inset:0;background:url(CANARY)'>over everything</div>",
)
SVG = (
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s></svg>",
    "<svg><image href='CANARY'/></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(1)>#x'/></svg>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    "<math href='javascript:alert(1)'>x</math>",
)
TEMPLATES = (
    "{{ 7 * 7 }}{{ config }}{% raw %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "${alert(1)}`${alert(1)}`",
    "%s%n%x{0}{case}",
    "__proto__",
    "constructor",
    '=HYPERLINK("CANARY")',
    "![x](CANARY) [y](javascript:alert(1))",
)
CHARACTERS = (
    "\u202eThis text turns around\u202c and goes on",
    "\u2066\u2067isolates never closed",
    "\u200f\u061cright to left marks",
    "abc\u202e" * 200,
    "NUL \x00 inside \x00\x00",
    "".join(map(chr, range(1, 32))) + "\x7f\x80\x9f",
    "\u2028\u2029 line and paragraph separators </script>",
    "lone surrogate \\ud800 as an escape",
    "\ufeff\u200b\u2060\u180e\ufff9\ufffbinvisible",
    "Z\u0351\u0352\u0353\u0354\u0355" * 300,
    "\U000e0041\U000e0042 tags in plane 14",
    "😀👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿 " * 40,
)
LONG = (
    "a" * 1_000_000,
    "word " * 200_000,
    "<" * 100_000,
    "<think>" * 3_000,
    "\n" * 20_000,
    "(" * 50_000 + ")" * 50_000,
    "<b>" * 20_000,
    "発熱" * 100_000,
)
ALL = (*SCRIPTS, *ATTRIBUTES, *SVG, *TEMPLATES, *CHARACTERS, *LONG)
