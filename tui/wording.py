"""Every fixed word an operator reads. What comes from the engine is shown as it came.

One module a language; the screens hold no words of their own, so a translation is a copy of this file.
"""

from __future__ import annotations

from typing import Final

# ── Places and the rail ────────────────────────────────────────────────────────────────
HOME: Final = "Home"
RUN: Final = "Run"
ALARMS: Final = "Alarms"
RECORD: Final = "Record"
BACK: Final = "Back"
STOP: Final = "STOP…"
STOP_AGAIN: Final = "STOP\nagain…"
STOP_NOW: Final = "Stop now"
STOP_ARMED: Final = "STOP is armed. Tap “Stop now” to stop everything that moves."
STOP_SENT: Final = "STOP was sent."
STOP_WAITS: Final = (
    "STOP could not be sent: the engine is away. It goes out as soon as the engine answers. "
    "Use the stop button on the device."
)

# ── Status strip ───────────────────────────────────────────────────────────────────────
NO_BATCH: Final = "no batch"
BATCH: Final = "batch {id}"
PHASE: Final = "phase {number} of {count}"
UTC: Final = "{time} UTC"
TIME_TRUSTED: Final = "time trusted"
TIME_UNTRUSTED: Final = "TIME NOT TRUSTED"
TRUSTED_SHORT: Final = "trusted"
UNTRUSTED_SHORT: Final = "NOT TRUSTED"
RECORDED: Final = "recorded here ✓ {seq}"
NOT_RECORDED: Final = "NOT RECORDED: see Record"
AT_CENTRAL: Final = "at central: all, {age} ago"
BEHIND: Final = "at central: {behind} behind, {age}"
BEHIND_NEVER: Final = "at central: {behind} behind, never"
NO_ALARM: Final = "no alarm"
ALARM_COUNT: Final = "{marker} {priority} {count}"
SIMULATED: Final = "SIMULATED"
SIMULATED_NOTICE: Final = "SIMULATED: no real patient, no real product."
ENGINE_AWAY_FIELD: Final = "engine away"

# ── Alarms ─────────────────────────────────────────────────────────────────────────────
PRIORITY_WORDS: Final = {"high": "HIGH", "medium": "MEDIUM", "low": "LOW"}
PRIORITY_MARKERS: Final = {"high": "***", "medium": "**", "low": "*"}
ALARM_STATES: Final = {
    "active": "not acknowledged",
    "acknowledged": "acknowledged, still so",
    "cleared": "over, not acknowledged",
}
ALARMS_TITLE: Final = "Alarms"
ALARMS_NONE: Final = "No alarm. Nothing to do here."
ALARM_CAUSE: Final = "Cause"
ALARM_ACTION: Final = "Do"
ALARM_SINCE: Final = "Since"
ALARM_SINCE_WORDS: Final = "{time}, {age} ago; {state}"
ACKNOWLEDGE: Final = "Acknowledge"
ACKNOWLEDGED: Final = "Acknowledged"
MORE_ALARMS: Final = "Show the next alarms"

# ── Home and sign-in ───────────────────────────────────────────────────────────────────
HOME_TITLE: Final = "This unit"
NOBODY_SIGNED_IN: Final = "Nobody is signed in."
SIGNED_IN: Final = "Signed in: {name} ({roles})"
SIGN_IN: Final = "Sign in"
SIGN_OUT: Final = "Sign out"
LOCK: Final = "Lock"
OPEN_ORDER: Final = "Open an order…"
GO_TO_RUN: Final = "Go to the batch"
DAY_COLOURS: Final = "Day\ncolours"
NIGHT_COLOURS: Final = "Night\ncolours"
END_DEMO: Final = "End the\ndemo…"
END_DEMO_TITLE: Final = "End the demonstration?"
END_DEMO_HINT: Final = "This screen closes. Nothing of it is a real batch."
END_DEMO_NOW: Final = "End the demonstration"
END_DEMO_STAY: Final = "Stay"
ORDERS_TITLE: Final = "Orders to open"
ORDERS_NONE: Final = "No order waits for this unit."
ORDER_TITLE: Final = "{id}: {title}"
ORDER_DETAIL: Final = "{patient} · {din}"
ORDER_REFUSED: Final = "Cannot be opened: {words}"
RUNS_TITLE: Final = "What runs"
RUNS_NONE: Final = "No batch is open."
WAITS_TITLE: Final = "What waits for people"
WAITS_NONE: Final = "Nothing waits."
CHOOSE_ORDER: Final = "Which order do you open?"
CHOOSE_PERSON: Final = "Who are you?"
CHOOSE_PERSON_HINT: Final = "Choose your name, or hold your badge to the reader."
CHOOSE_SECOND: Final = "Who is the second person?"
CHOOSE_SUPERVISOR: Final = "Who is the supervisor?"
CHOOSE_SECOND_HINT: Final = "It must be somebody else than: {names}"
TYPE_BADGE: Final = "Type the badge text…"
BADGE_TITLE: Final = "Badge text"
NO_PEOPLE: Final = "Nobody on this unit may do this. Call the supervisor."
PIN_TITLE: Final = "PIN of {name}"
PIN_HINT: Final = "At least 6 digits."
SIGN_IN_NOW: Final = "Sign in"
CONFIRM_AS: Final = "Confirm as\n{name}"
BADGE_NAME: Final = "the person with this badge"
CHANGE_SECRET: Final = "Change your PIN or password"
CHANGE_SECRET_DETAIL: Final = "Yours alone. Nobody else can see or set it."
CHANGE_PIN: Final = "Change the PIN"
CHANGE_PASSWORD: Final = "Change the password"
CHANGE_OWED: Final = "Set another one before anything else. STOP works at all times."
SECRET_OLD: Final = "The {what} you have now"
SECRET_NEW: Final = "Your new {what}"
SECRET_AGAIN: Final = "Your new {what} once more"
SECRET_DIFFERS: Final = "The two new ones differ. Begin again."
SECRET_CHANGED: Final = "Your {what} is changed."
EMERGENCY: Final = "Open the emergency account"
EMERGENCY_DETAIL: Final = "When nobody who may work can come. Two people finish what runs. QA sees each act."
EMERGENCY_TITLE: Final = "Why is the emergency account needed?"
EMERGENCY_REASONS: Final = (
    "The operator fell ill and nobody else can come",
    "The unit must be left and the product secured",
)
EMERGENCY_NOW: Final = "Open it"
EMERGENCY_WORDS: Final = "It may hold, restart and finish what runs, nothing else. It ends after 24 hours."
EMERGENCY_GO_ON: Final = "Go on under the emergency account"
EMERGENCY_GO_ON_DETAIL: Final = "Only for the two people who opened it."
EMERGENCY_WHO: Final = "Which of the two are you?"
OWN_ACCOUNT: Final = "Sign in with your own account"

# ── Lock and away ──────────────────────────────────────────────────────────────────────
LOCKED_TITLE: Final = "Locked"
LOCKED_TOUCH: Final = "Touch anywhere to wake. The first touch does nothing else."
LOCKED_WORDS: Final = "The batch goes on. STOP works without signing in."
UNLOCK_AS: Final = "Unlock as\n{name}"
UNLOCK_OTHER: Final = "Somebody else\nsigns in…"
AWAY_TITLE: Final = "The engine is away"
AWAY_STATE: Final = "For {age} this screen has had no word from the engine. Last word: {time} UTC."
AWAY_STATE_NEVER: Final = "This screen has had no word from the engine yet ({age})."
AWAY_CAUSE: Final = "Cause: {cause}"
AWAY_DO: Final = (
    "Moving devices stop by themselves when the engine is silent; the bath keeps its temperature. "
    "Stay with the product. Look at the devices themselves. "
    "If this screen does not come back within two minutes, call the supervisor."
)
AWAY_NEXT: Final = "Trying again in {seconds} s (attempt {attempt})."
AWAY_TRYING: Final = "Trying now (attempt {attempt})."
AWAY_UNANSWERED: Final = "What was asked last is sent again when the engine is back; it acts only once."

# ── Run ────────────────────────────────────────────────────────────────────────────────
NOTHING_TO_DO: Final = "Nothing to do"
NOTHING_TO_DO_WORDS: Final = "The unit works. It calls when it needs a person."
BATCH_ENDED: Final = "This batch is {state}."
BATCH_NEXT: Final = {
    "awaiting_disposition": "The record is sealed. The QP decides at central; the decision comes by itself. "
    "Keep the dose as its label says. Nothing to do here until then.",
    "handed_over": "The dose is with the ward. The record is complete. Go to Home to open the next order.",
    "rejected": "The QP rejected this batch. Do not give the dose. Put it aside and call the supervisor.",
    "aborted": "Do not use the product. Put it aside and call the supervisor.",
}
DISPOSITION: Final = "Decision of the QP: {disposition}"
EXPECTS: Final = "Expected: {words}"
SCAN: Final = "Scan"
SCANNING: Final = "Looking for the label…"
ASKING: Final = "Asking the engine…"
SIGN_IN_FIRST: Final = "Sign in"
ENTER_VALUES: Final = "Enter values"
CHOOSE_FILE: Final = "Choose the file"
FILES_TITLE: Final = "Which file of the device?"
FILES_HINT: Final = "The newest stands first. The unit reads it and compares it with this run."
FILES_NONE: Final = "No file is there. Put the stick in and wait a moment, or export the run again."
FILE_DETAIL: Final = "{size} bytes, {at}"
LOOK_AT_COUNT: Final = "Look at the count"
MORE_INSTRUCTIONS: Final = "Next of {count}"
HOLD: Final = "Hold…"
RESTART: Final = "Restart…"
MORE: Final = "More…"
STOPPED_TITLE: Final = "STOPPED"
STOPPED_WORDS: Final = (
    "Everything that moves was ordered to stop. Make the place safe first. "
    "Only a signed-in person ends this, with a reason, on record."
)
RELEASE_STOP: Final = "End the stop…"
HELD_TITLE: Final = "The batch is held"
HELD_WORDS: Final = (
    "Nothing goes on until a signed-in person restarts it. Look at the alarms and the phases first."
)
UNIT_PROCEDURE: Final = "{unit_procedure} / {operation}"
PHASE_STATE: Final = "{title}: {state}"
TIMERS_TITLE: Final = "Timers"
TIMER_TARGET: Final = "{elapsed} of {target}"
TIMER_MAXIMUM: Final = "at most {maximum}"
TIMER_OVER: Final = "OVER THE MAXIMUM"
DEVICES_TITLE: Final = "Devices"
DEVICES_NONE: Final = "No device is attached."
FITNESS: Final = "! {words}"
OUT_OF_LIMIT: Final = "◀ OUT OF LIMIT"
EMPTY_VALUE: Final = "none"
# What a driver calls a reading where a person would not.
READING_NAMES: Final = {"running": "state", "delivered": "pumped"}
NO_VALUE: Final = "no value"
QUALITY: Final = {"good": "good", "uncertain": "uncertain", "bad": "BAD", "stale": "STALE"}
QUALITY_SHORT: Final = {"good": "good", "uncertain": "unsure", "bad": "BAD", "stale": "STALE"}
DEVICE_STATES: Final = {
    "starting": "starting",
    "ready": "ready",
    "silent": "SILENT",
    "fault": "FAULT",
    "by_hand": "by hand",
}

MORE_TITLE: Final = "What do you want to do?"
COMMENT: Final = "Write a comment"
COMMENT_DETAIL: Final = "It goes into the batch record under your name."
CORRECT: Final = "Correct a value"
CORRECT_DETAIL: Final = "One that somebody typed. The first value stays on record. Needs your password."
ABORT: Final = "Abort the batch"
ABORT_NOW: Final = "Abort"
ABORT_DETAIL: Final = "It ends here and cannot be taken up again. Needs a supervisor's password."

QUALIFY: Final = "Qualify a device"
QUALIFY_DETAIL: Final = "One that was exchanged, repaired or calibrated. A second person confirms it."
QUALIFY_TOLD: Final = "serial number {serial_number}, firmware {firmware}"
QUALIFY_NOTHING: Final = "not told"
QUALIFY_SILENT: Final = "Does not answer. Connect it first."
QUALIFY_DAYS: Final = {
    "calibrated_until": "Up to which day does its calibration hold?",
    "qualified_until": "Up to which day does its qualification hold?",
}
QUALIFY_UNTIL: Final = {"calibrated_until": "Calibrated until", "qualified_until": "Qualified until"}
QUALIFY_AS_BEFORE: Final = "As before"
QUALIFY_ANOTHER_DAY: Final = "Another day…"
QUALIFY_DAY: Final = "Year-month-day, such as 2027-06-30"
QUALIFY_WHY: Final = "Why is it qualified anew?"
QUALIFY_REASONS: Final = (
    "The device was exchanged; its plate was compared",
    "It was repaired and tested",
    "Its firmware was updated and tested",
    "It was calibrated",
)
QUALIFY_NOW: Final = "Qualify it"
QUALIFIED: Final = "{title} is qualified."

# ── The print head ─────────────────────────────────────────────────────────────────────

TEST_PRINTER: Final = "Test the label printer"
TEST_PRINTER_DETAIL: Final = "It prints one label, which you show to the camera."
TEST_PRINTER_TITLE: Final = "The label printer must be tested first"
TEST_PRINTER_SHOW: Final = "The test label lies before the camera"
TEST_PRINTER_PASSED: Final = "The label printer is tested. Open the order again."
TEST_PRINTER_FAILED: Final = "Clean the print head, test it again, or call maintenance."

# ── Materials ──────────────────────────────────────────────────────────────────────────

MATERIALS: Final = "Materials"
MATERIALS_DETAIL: Final = "Take a delivery in, release one, see what there is, recall a lot."
MATERIAL_RECEIVE: Final = "Receive a material"
MATERIAL_RECEIVE_DETAIL: Final = "A delivery came. It waits until another person releases it."
MATERIAL_LOOK: Final = "Show the label to the camera, then tap here"
MATERIAL_LOOK_DETAIL: Final = "The maker's label with lot and expiry, whole and flat."
MATERIAL_TITLE: Final = "What is it called?"
MATERIAL_LOT_PRINTED: Final = "Lot as it is printed (read: {lot})"
MATERIAL_DAY_PRINTED: Final = "Expiry as printed: year-month-day, such as 2027-06-30"
MATERIAL_QUANTITY: Final = "How many?"
MATERIAL_NUMBER: Final = "Catalogue number"
MATERIAL_LOT: Final = "Lot"
MATERIAL_EXPIRES: Final = "Expires"
MATERIAL_SUPPLIER: Final = "Who delivered it?"
MATERIAL_CHECK: Final = "Look at package and contents"
MATERIAL_PASSED: Final = "All is as it should be"
MATERIAL_FAILED: Final = "Damaged, opened, cloudy or wrong"
MATERIAL_CERTIFICATE: Final = "Certificate of analysis"
MATERIAL_PAPER: Final = "It is on paper"
MATERIAL_PAPER_DETAIL: Final = "Write where it is filed."
MATERIAL_PAPER_WHERE: Final = "Where is the paper filed?"
MATERIAL_RECEIVED: Final = "Received as {receipt}. It waits in quarantine."
MATERIAL_JUDGE: Final = "Release or reject"
MATERIAL_JUDGE_DETAIL: Final = "A delivery that somebody else received."
MATERIAL_JUDGE_HINT: Final = "{left} pieces. Look at them and at certificate {certificate}"
MATERIAL_OWN: Final = "You received it. Another person must decide."
MATERIAL_NONE_WAITS: Final = "No delivery waits for a decision."
MATERIAL_RELEASE: Final = "Release it"
MATERIAL_REJECT: Final = "Reject it"
MATERIAL_DAMAGED: Final = "It did not pass the look at receipt."
MATERIAL_WHY: Final = "Why?"
MATERIAL_REASONS: Final = {
    "release_material": ("Label, package and certificate agree", "Agreed with QA"),
    "reject_material": (
        "Package or contents are damaged",
        "The certificate does not fit",
        "It was stored wrongly",
    ),
}
MATERIAL_STOCK: Final = "What there is"
MATERIAL_STOCK_DETAIL: Final = "Lots, states, expiry, how many are left."
MATERIAL_NONE: Final = "There are no materials on this unit."
MATERIAL_ROW: Final = "{title}, lot {lot}"
MATERIAL_ROW_DETAIL: Final = "{state}, {left} left, expires {until}"
MATERIAL_STATES: Final = {"quarantined": "IN QUARANTINE", "released": "Released"}
MATERIAL_RECALLED: Final = "RECALLED"
MATERIAL_OVER: Final = "EXPIRED"
MATERIAL_BOOK_OUT_HINT: Final = "Tap one to book out what is gone."
MATERIAL_GONE_TITLE: Final = "What became of it?"
MATERIAL_GONE: Final = {
    "discarded": "It was discarded",
    "lost": "It is not there",
    "returned": "It was sent back",
}
MATERIAL_RECALL: Final = "Recall a lot"
MATERIAL_RECALL_DETAIL: Final = "A notice came. Nothing of it is used from now on."
MATERIAL_RECALL_ASKED: Final = {
    "catalogue": "Catalogue number, as the notice names it",
    "lot": "Lot, as the notice names it",
    "reference": "Reference of the notice",
    "reason": "Why is it recalled?",
}

# ── Reasons ────────────────────────────────────────────────────────────────────────────
HOLD_TITLE: Final = "Why do you hold the batch?"
RESTART_TITLE: Final = "Why may the batch go on?"
RESTART_BY_SUPERVISOR: Final = "You let the batch go on after a hold that only a supervisor ends."
RELEASE_TITLE: Final = "Why may the stop end?"
ABORT_TITLE: Final = "Why do you abort the batch?"
OTHER_REASON: Final = "Other reason…"
OTHER_REASON_DETAIL: Final = "Write it with the keyboard."
REASON_TEXT: Final = "Reason"
COMMENT_TEXT: Final = "Comment"
HOLD_CONSENT: Final = "The patient withdraws the consent"
CONSENT_FROM_TITLE: Final = "Who brought the word?"
CONSENT_FROM: Final = ("Ward physician", "Study nurse", "QA", "The patient, to me")
HOLD_REASONS: Final = (
    "Something looks wrong with the product",
    "A device needs attention",
    "Material is missing or damaged",
    "A person is needed elsewhere",
    HOLD_CONSENT,
)
RESTART_REASONS: Final = (
    "Cause found and removed",
    "Checked: nothing was wrong",
    "The unit restarted; everything was checked",
    "The supervisor agreed",
)
RELEASE_REASONS: Final = (
    "The place is safe again",
    "STOP was touched by mistake",
    "Device repaired or replaced",
    "The supervisor agreed",
)
ABORT_REASONS: Final = (
    "The product cannot be used",
    "A device cannot be repaired in time",
    "The patient no longer needs it",
    "The physician decided so",
)

CORRECT_REASONS: Final = (
    "Typed wrongly",
    "Read from the wrong place",
    "Entered for another sample",
    "The source was corrected",
)

# ── Correct ────────────────────────────────────────────────────────────────────────────
CORRECT_TITLE: Final = "Which value is wrong?"
CORRECT_HINT: Final = "Readings, counts and scans are not corrected: repeat them, or write a comment."
CORRECT_NONE: Final = "Nobody has typed a value in this batch yet."
CORRECT_WHY: Final = "Why was the first value wrong?"
CORRECTION_WAITS: Final = "Waits for a second person: {words}"
ENTERED_WORDS: Final = "{label}: {words}"
ON_RECORD: Final = "On record"

# ── Entering ───────────────────────────────────────────────────────────────────────────
CLEAR: Final = "Clear"
BACKSPACE: Final = "⌫"
SIGN_KEY: Final = "±"
ENTER: Final = "Enter"
ENTER_NEXT: Final = "Enter\nand go on"
FIELD_OF: Final = "{number} of {count}"
RANGE_BOTH: Final = "Allowed: {minimum} to {maximum} {unit}"
RANGE_MINIMUM: Final = "Allowed: at least {minimum} {unit}"
RANGE_MAXIMUM: Final = "Allowed: at most {maximum} {unit}"
RANGE_DECIMALS: Final = "at most {decimals} digits after the point"
RANGE_WHOLE: Final = "whole numbers"
IN_RANGE: Final = "within the range"
TOO_LOW: Final = "BELOW the range"
TOO_HIGH: Final = "ABOVE the range"
NOT_A_NUMBER: Final = "not a number yet"
TOO_MANY_DECIMALS: Final = "too many digits after the point"
EMPTY: Final = "nothing entered yet"
SPACE: Final = "␣"
SHIFT: Final = "⇧"
LETTERS: Final = "abc"
DIGITS: Final = "123"
SYMBOLS: Final = "#+="
SHOW: Final = "Show"
HIDE: Final = "Hide"
SHOW_MORE: Final = "Show more…"

# ── Scan ───────────────────────────────────────────────────────────────────────────────
AIM_BEGINS: Final = "The camera looks…"
AIM_NOTHING: Final = "Hold the label between the corners"
AIM_SEEN: Final = "Good: hold still"
AIM_AT_PATIENT: Final = "No picture at the patient's side: hold the label to the camera"
AIM_HINTS: Final = {
    "two_labels": "TWO LABELS: show one",
    "too_far": "NEARER",
    "dark": "MORE LIGHT",
    "glare": "IT SHINES: tilt the label a little",
    "blur": "HOLD STILL, or a little farther away",
    "angle": "HOLD IT STRAIGHT",
    "conflict": "CLEAN THE LABEL: two readings differ",
    "not_confirmed": "HOLD STILL: it is read once more",
    "no_symbol": "Hold the label between the corners",
    "camera_opening": "The camera is starting",
    "camera_frozen": "THE CAMERA STANDS STILL: it starts again",
    "camera_dark": "THE CAMERA SEES NOTHING: take off its cap, switch on the light",
    "camera_stale": "NO PICTURE: look at the camera's cable",
    "camera_unplugged": "NO CAMERA: look at its cable",
}
SCAN_LEFT: Final = "ends by itself in {seconds} s"
END_SCAN: Final = "End the\nscan"
SCAN_ENDED: Final = "The scan was ended. Nothing was accepted."
SHOW_CAMERA: Final = "Show the camera"
SCAN_RUNS: Final = "A label is being read"
TICKED: Final = "Read and right"
NOT_READ_TITLE: Final = "Not read"
NOT_READ_TYPE: Final = "If it cannot be read at all: two people type what stands on it."
SCAN_AGAIN: Final = "Scan again"
TYPE_NUMBER: Final = "Type the\nnumber…"
FIRST_LETTERS: Final = "A-R"
LAST_LETTERS: Final = "S-Z"
TYPED_FIRST: Final = "Recorded. A different person types it again; what you typed is not shown."
TYPED_DIFFERS: Final = "The two entries differ"
SHOW_BADGE: Final = "Show a badge to the camera"
SHOW_BADGE_DETAIL: Final = "Then the PIN, as always."
SHOW_EQUIPMENT: Final = "Show its label to the camera"
SHOW_EQUIPMENT_DETAIL: Final = "The label with the serial number."
SHOW_EQUIPMENT_WORDS: Final = "Hold the device's label, or the camera to it."
SHOW_BADGE_WORDS: Final = "Hold your badge to the camera."

# ── Review and sign ────────────────────────────────────────────────────────────────────
REVIEW_TITLE: Final = "Count"
REPLICATE: Final = "Replicate {number}: {verdict}"
POOLED: Final = "Pooled: {verdict}"
REPLICATE_NUMBERS: Final = "{live} live · {dead} dead"
VIABILITY: Final = "viable {percent} % ({low} to {high} %)"
INTERVAL_HINT: Final = "In brackets: the 95 % interval."
NO_INTERVAL: Final = "no interval: do not use"
NO_COUNTS: Final = "No count yet."
PICTURE_ZOOM: Final = "Touch the picture to look closer; again for the whole."
PICTURE_NONE: Final = "There is no picture."
PICTURE_BROKEN: Final = "The picture cannot be shown. Do not accept without it; call the supervisor."
ACCEPT: Final = "Accept"
REPEAT: Final = "Repeat"
SIGN_TITLE: Final = "You sign"
SIGN_MEANING: Final = "Meaning   {meaning}"
SIGN_HASH: Final = "Code of what is signed"
SIGN_PERSON: Final = "Signed by   {name}"
SIGN_AT: Final = "Time      {day} {utc} UTC, here {local}"
ID_TITLE: Final = "Id or badge of {name}"
SECOND_WITHIN: Final = "A second person looks within {left}; later the first act is done again."
SIGN_BUTTON: Final = "Sign with\npassword…"
PASSWORD_TITLE: Final = "Password of {name}"
SIGN_NOW: Final = "Sign"
GIVE_PASSWORD: Final = "Confirm"

# ── Refusals ───────────────────────────────────────────────────────────────────────────
FULL_STOP_TITLE: Final = "STOP – do not continue"  # noqa: RUF001
FULL_STOP_BACK: Final = "I have read this:\nback to the instruction"
REFUSED_TITLE: Final = "Not done"
REFUSED_BACK: Final = "Back"
PROMPT_GONE: Final = "The unit went on; that question is no longer open."
DONE: Final = "Done: {what}"

# ── Record ─────────────────────────────────────────────────────────────────────────────
RECORD_TITLE: Final = "Record of this unit"
RECORD_GOOD: Final = "✓ Each entry is written to disk before the unit goes on."
RECORD_SEQ: Final = "Last entry"
RECORD_HASH: Final = "Its hash"
RECORD_AT: Final = "Written at"
RECORD_CENTRAL: Final = "At central"
RECORD_DEVIATIONS: Final = "Deviations"
RECORD_NO_DEVIATIONS: Final = "none"
RECORD_NOT_YET: Final = "nothing yet"
RECORD_UNIT: Final = "Unit"
RECORD_SOFTWARE: Final = "Software"
RECORD_CLOCK: Final = "Clock"
RECORD_ACKNOWLEDGED: Final = "up to entry {seq}; {behind} not yet there; last word {age} ago"
RECORD_NEVER: Final = "nothing yet; {behind} wait here"
CLOCK_WORDS: Final = "{trust}, speed {speed}"

SIGNATURES: Final = "Signatures"
SIGNATURES_NONE: Final = "Nobody has signed in this batch yet."
SIGNATURE_WORDS: Final = "{meaning}: {what}\n{day} {utc} UTC, here {local}; code {signs}"
SIGNATURE_VOID: Final = "VOID. {words}"
ENTERED: Final = "Typed values"
ENTERED_NONE: Final = "Nobody has typed a value in this batch yet."
ENTERED_FIRST: Final = "{words}\nFirst: {first}. Corrected: {reasons}"
FIRST_VALUES: Final = "Show the first values"
VALUES_NOW: Final = "Show the values now"

# ── A broken link; other causes come in the client's words ─────────────────────────────
CAUSE_SILENT: Final = "the engine has been silent for {seconds} s"
CAUSE_CLOSED: Final = "the engine closed the connection"
SCREEN_FAILED: Final = "The screen has failed and starts again. The engine and the batch go on."
CAUSE_CONNECTING: Final = "this screen has just started"
