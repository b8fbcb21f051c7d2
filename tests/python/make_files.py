"""Writes the same kind of rows as Parquet, Excel and JSON lines: make_files.py FOLDER"""

import datetime
import gzip
import json
import pathlib
import sys
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq

folder = pathlib.Path(sys.argv[1])
START = datetime.datetime(2026, 11, 21, 10, 0, tzinfo=datetime.timezone.utc)


def rows(first):
    for n in range(first, first + 10):
        yield {
            "at": START + datetime.timedelta(minutes=n),
            "n": n,
            "t": None if n % 5 == 0 else n + 0.5,
            "name": f"Müller & <{n}>",
            "on": n % 2 == 0,
        }


def parquet():
    schema = pa.schema([
        ("at", pa.timestamp("ns", "UTC")),
        ("n", pa.int32()),
        ("t", pa.float64()),
        ("name", pa.dictionary(pa.int8(), pa.string())),
        ("on", pa.bool_()),
    ])
    table = pa.Table.from_pylist(list(rows(100)), schema)
    pq.write_table(table, folder / "b.parquet", compression="snappy", row_group_size=4)


def json_lines():
    with gzip.open(folder / "d.jsonl.gz", "wt", encoding="utf-8") as out:
        for row in rows(300):
            row["at"] = row["at"].isoformat()
            print(json.dumps(row), file=out)


def excel():
    texts = []

    def cell(ref, value):
        if value is None:
            return ""
        if isinstance(value, bool):
            return f'<c r="{ref}" t="b"><v>{int(value)}</v></c>'
        if isinstance(value, datetime.datetime):
            days = (value - datetime.datetime(1899, 12, 30, tzinfo=datetime.timezone.utc)) / datetime.timedelta(days=1)
            return f'<c r="{ref}" s="1"><v>{days!r}</v></c>'
        if isinstance(value, (int, float)):
            return f'<c r="{ref}"><v>{value!r}</v></c>'
        texts.append(value.replace("&", "&amp;").replace("<", "&lt;"))
        return f'<c r="{ref}" t="s"><v>{len(texts) - 1}</v></c>'

    # The table does not begin in the corner, as tables of people do.
    lines = []
    header = ["at", "n", "t", "name", "on"]
    for number, values in enumerate([header] + [list(row.values()) for row in rows(200)], 3):
        cells = "".join(cell(f"{'BCDEF'[i]}{number}", value) for i, value in enumerate(values))
        lines.append(f'<row r="{number}">{cells}</row>')
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheet = f'<worksheet xmlns="{main}"><dimension ref="B3:F13"/><sheetData>{"".join(lines)}</sheetData></worksheet>'
    other = f'<worksheet xmlns="{main}"><sheetData/></worksheet>'
    strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
    with zipfile.ZipFile(folder / "c.xlsx", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("[Content_Types].xml", f"""<Types xmlns="{package}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>""")
        out.writestr("_rels/.rels", f"""<Relationships xmlns="{package}/relationships">
<Relationship Id="r1" Type="{rel}/officeDocument" Target="xl/workbook.xml"/></Relationships>""")
        out.writestr("xl/workbook.xml", f"""<workbook xmlns="{main}" xmlns:r="{rel}"><sheets>
<sheet name="Notes" sheetId="1" r:id="r1"/><sheet name="Data" sheetId="2" r:id="r2"/></sheets></workbook>""")
        out.writestr("xl/_rels/workbook.xml.rels", f"""<Relationships xmlns="{package}/relationships">
<Relationship Id="r1" Type="{rel}/worksheet" Target="worksheets/sheet1.xml"/>
<Relationship Id="r2" Type="{rel}/worksheet" Target="worksheets/sheet2.xml"/>
<Relationship Id="r3" Type="{rel}/sharedStrings" Target="sharedStrings.xml"/>
<Relationship Id="r4" Type="{rel}/styles" Target="styles.xml"/></Relationships>""")
        out.writestr("xl/styles.xml", f"""<styleSheet xmlns="{main}"><cellXfs count="2">
<xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>""")
        out.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{strings}</sst>')
        out.writestr("xl/worksheets/sheet1.xml", other)
        out.writestr("xl/worksheets/sheet2.xml", sheet)


parquet()
json_lines()
excel()
