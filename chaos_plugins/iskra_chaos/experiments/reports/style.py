"""How the report looks, by day and by night."""

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1b1f; --soft: #55555f; --line: #d5d5dc; --card: #f5f5f8;
  --held: #00664b; --deviated: #a3330a; --aborted: #6b4a00; --failed: #b3261e; --invalid: #4a4a8a; }
@media (prefers-color-scheme: dark) { :root { --paper: #17171b; --ink: #ececf1; --soft: #b4b4c0; --line: #3c3c46;
  --card: #212127; --held: #4fd1a5; --deviated: #ffb38a; --aborted: #f0c674; --failed: #ff8a80; --invalid: #b3b3ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
header p { color: var(--soft); margin: 0; }
h1 { margin: .2rem 0 1rem; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .5rem; font-size: 1.2rem; }
h3 { margin: .5rem 0; font-size: 1rem; }
.verdict { border-left: .4rem solid currentColor; background: var(--card); padding: .75rem 1.25rem; }
.verdict h2 { margin: 0; }
.verdict p, .verdict ul { color: var(--ink); }
.held { color: var(--held); } .deviated { color: var(--deviated); } .aborted { color: var(--aborted); }
.failed { color: var(--failed); } .invalid { color: var(--invalid); }
.critical { border: 2px solid var(--failed); padding: .25rem 1rem; margin-top: 1rem; }
.wide { overflow-x: auto; }
.wide:focus-visible, summary:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
caption { text-align: left; color: var(--soft); padding: .25rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; min-width: 4.5rem; }
tbody th { font-weight: 500; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .92rem; }
pre { overflow-x: auto; background: var(--card); padding: 1rem; font-size: .85rem; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem; }
"""
