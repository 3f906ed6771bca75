"""Reads tables: cells of CSV files and workbooks, and tables of intervals."""
