"""The look of the page: its style, tables and cards."""
NARROW = "(max-width:760px)"

STYLE = """
body{font:15px/1.5 -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;color:#222;background:#f4f4f2;margin:0}
main{max-width:1120px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:24px;margin:0 12px 0 0;display:inline} h2{font-size:16px;margin:0 0 6px}
.badge{display:inline-block;border-radius:11px;padding:1px 12px;font-size:13px;color:#fff;vertical-align:3px}
.good{background:#4c956c}.wait{background:#c98a1b}.bad{background:#c0392b}
.lead{font-size:16px;margin:10px 0 18px;color:#333}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:12px;margin-bottom:16px}
.tile,.card{background:#fff;border:1px solid #e3e3df;border-radius:8px}
.tile{padding:10px 11px}.tile b{display:block;font-size:18px;font-weight:600;overflow-wrap:anywhere}.tile span{color:#666;font-size:13px}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:14px}.card{padding:14px 16px;min-width:0}.wide{grid-column:1/-1}
img{width:100%;height:auto;display:block} p.note{color:#666;font-size:13px;margin:4px 0 0}
.alerts{margin:0 0 16px;padding:10px 16px 10px 32px;background:#fdf3e1;border:1px solid #eed9ae;border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13.5px}td,th{text-align:left;padding:3px 10px 3px 0;vertical-align:top}
th{color:#666;font-weight:500;border-bottom:1px solid #ddd} td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.pair{display:grid;grid-template-columns:1fr 1fr;column-gap:28px;align-items:start}.pair h2,.pair p{grid-column:1/-1}
.scroll{max-height:420px;overflow:auto}.scroll td,.scroll th{white-space:nowrap}
.scroll td:nth-child(8){white-space:normal;min-width:15em} td{overflow-wrap:break-word} code{overflow-wrap:anywhere} pre{font-size:12.5px;overflow:auto;background:#fafaf8;padding:10px}
summary{cursor:pointer;color:#444}
.sample{border-top:1px solid #e3e3df;padding:8px 0}.sample p{margin:0}
.sample pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:4px 0 0;max-height:220px}
@media(max-width:760px){main{padding:18px 12px 40px}.grid,.pair{grid-template-columns:minmax(0,1fr)}.card{padding:12px}
.tiles{grid-template-columns:repeat(auto-fit,minmax(104px,1fr));gap:8px}.card{overflow-x:auto}}
"""


def table(head, rows, numeric=()):
    def cells(tag, row): return "".join(f'<{tag}{" class=n" if i in numeric else ""}>{c}</{tag}>' for i, c in enumerate(row))
    return (f"<table><tr>{cells('th', head)}</tr>" + "".join(f"<tr>{cells('td', r)}</tr>" for r in rows) + "</table>")


def card(title, body, wide=False):
    return f'<section class="card{" wide" if wide else ""}"><h2>{title}</h2>{body}</section>'


def filled(cards):
    """A narrow card without a neighbour gets the whole row, with its picture beside its table."""
    narrow, out = '<section class="card">', list(cards)
    left = False  # the last card is on the left, with space beside it
    for i, text in enumerate(out):
        left = text.startswith(narrow) and not left
        if left and (i + 1 == len(out) or not out[i + 1].startswith(narrow)):
            out[i] = text.replace(narrow, '<section class="card wide pair">', 1)
    return out
