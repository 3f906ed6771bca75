"""Tables as people have them: cells of CSV files and workbooks, and tables of intervals."""
