"""The batch record for a human, as HTML and as archival PDF: exceptions first, then everything.

Made from the record alone, so the same record gives the same bytes. A kind of event that this
software does not know is shown with its plain fields; nothing is left out.
"""

from __future__ import annotations

from appliance.record.report.as_html import page
from appliance.record.report.as_pdf import Pdf, pdf
from appliance.record.report.batch import Source
from appliance.record.report.content import content_of
from appliance.record.report.model import Report
from appliance.record.report.source import source_in, source_of_archive

__all__ = ["Pdf", "Report", "Source", "content_of", "page", "pdf", "source_in", "source_of_archive"]
