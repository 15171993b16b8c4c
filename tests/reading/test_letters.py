"""Letters: which of a reply's statements counts, in the ways that people write them."""

import json
from pathlib import Path

import pytest

from igaku.exam.questions import Question
from igaku.reading import letters as letters_reader
from igaku.reading.answer import extract_answer, reading_of
from igaku.reading.letters import read_letters
from igaku.reading.plain import plain_of
from igaku.reading.readings import LIMIT, TOO_LONG

CHOICES = ["膵臓の萎縮", "胆石の移動", "腹部超音波検査", "心電図検査", "血液培養"]


def question(answer="c", text="初めに行う検査として適切なのはどれか。", choices=None):
    row = {"problem_id": "998A1", "problem_text": text, "answer": list(answer)}
    return Question.from_record(row | {"choices": choices or CHOICES})


ONE = question("c")
TWO = question("ad", "適切なのはどれか。2つ選べ。")
THREE = question("acd", "正しいのはどれか。3つ選べ。")
WRONG = question("c", "誤っているのはどれか。")
UNFIT = question("c", "手術前の患者への説明として適切でないのはどれか。")
EXCEPT = question("c", "All of the following are correct EXCEPT which one?")


def cases(*pairs):
    """Texts with what a careful human reads in them: letters, or none."""
    return pytest.mark.parametrize(
        ("text", "letters"), [(text, tuple(letters) or None) for text, letters in pairs]
    )


@cases(
    ("答えは c です。", "c"),
    ("この問題の答えは c です。", "c"),
    ("答え　→　c", "c"),
    ("答え = c", "c"),
    ("答え（記号）：c", "c"),
    ("解答（1つ）: c", "c"),
    ("正解：（ｃ）腹部超音波検査", "c"),
    ("正解は選択肢 c（腹部超音波検査）です。", "c"),
    ("正解は「腹部超音波検査」の c です。", "c"),
    ("正解は、画像所見から c です。", "c"),
    ("正解はおそらく c です。", "c"),
    ("正解は c と考えられます。", "c"),
    ("正解は c になります。理由は以下の通りです。", "c"),
    ("【正解】\nc", "c"),
    ("◆解答◆ c", "c"),
    ("■ 答え：c", "c"),
    ("> **答え:** c", "c"),
    ("# 解答\n\n**c. 腹部超音波検査**", "c"),
    ("正解は以下の通りです。\n\n**c. 腹部超音波検査**", "c"),
    ("私の回答は c です。", "c"),
    ("選択: c", "c"),
    ("c を選択します。", "c"),
    ("cを選びます。", "c"),
    ("したがって、最も適切なのは c である。", "c"),
    ("消去法により c を選ぶ。", "c"),
    ("答え: c\n\n【解説】\n腹部超音波検査は非侵襲的である。", "c"),
    ("c。腹部超音波検査は非侵襲的である。", "c"),
    ("c（腹部超音波検査）\n理由：侵襲が少ない。", "c"),
    ("Answer: C. 腹部超音波検査", "c"),
    ("**Answer:** C", "c"),
    ("Answer - C", "c"),
    ("Answer = (C)", "c"),
    ("The answer is: C", "c"),
    ("The answer is therefore C.", "c"),
    ("The answer should be C.", "c"),
    ("The best answer is (c).", "c"),
    ("The answer to this question is C.", "c"),
    ("So the answer is most likely C.", "c"),
    ("Answer: The most likely is C.", "c"),
    ("Answer: I think it's C", "c"),
    ("Answer: option C, ultrasound.", "c"),
    ("My answer is C.", "c"),
    ("My final choice is C.", "c"),
    ("I choose C.", "c"),
    ("I would go with C.", "c"),
    ("Correct option: C", "c"),
    ("Choice: C", "c"),
    ("Selected option: C", "c"),
    ("C is the correct answer.", "c"),
    ("C is the correct answer, B is wrong.", "c"),
    ("Option (C) is correct.", "c"),
    ("Thus, C.", "c"),
    ("解：c", "c"),
)
def test_a_cue_leads_to_its_letter(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ("答案：C", "c"),
    ("答案是C。", "c"),
    ("答案為 C", "c"),
    ("正确答案是 C。", "c"),
    ("正確答案：C", "c"),
    ("正确答案：C. 腹部超音波検査", "c"),
    ("所以选 C。", "c"),
    ("应选C项。", "c"),
    ("應選 C。", "c"),
    ("因此选择C", "c"),
    ("我选择 C，因为无创。", "c"),
    ("本题选C", "c"),
    ("本題應選擇 C", "c"),
    ("综上所述，正确选项是C", "c"),
    ("故答案为C", "c"),
    ("最终答案：C", "c"),
    ("选项C正确。", "c"),
    ("C是正确的。", "c"),
    ("不选A，应选C。", "c"),
    ("不是 A 而是 C。", "c"),
    ("答案是 A 或 C", ""),
    ("错误答案：A、B、D、E\n正确答案：C", "c"),
    ("正确答案：C\n错误答案：A、B、D、E", "c"),
    ("A错误，B错误，C正确，D错误，E错误。", "c"),
    ("A. 错误\nB. 错误\nC. 正确\nD. 错误\nE. 错误", "c"),
    ("정답: C", "c"),
    ("정답은 C입니다.", "c"),
    ("정답은 C 입니다.", "c"),
    ("답: c", "c"),
    ("답은 C이다.", "c"),
    ("따라서 정답은 (C)이다.", "c"),
    ("최종 답: C", "c"),
    ("C가 정답입니다.", "c"),
    ("정답은 A가 아니라 C입니다.", "c"),
    ("정답은 A 또는 C입니다.", ""),
    ("정답: C\n오답: A, B, D, E", "c"),
    ("A: 틀림\nB: 틀림\nC: 맞음\nD: 틀림\nE: 틀림", "c"),
    ("a: X, b: X, c: O, d: X, e: X", "c"),
)
def test_chinese_and_korean(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ("答え：a, d", "ad"),
    ("答え：aおよびd", "ad"),
    ("正解は a と d の2つです。", "ad"),
    ("正解は a（膵臓の萎縮）と d（心電図検査）です。", "ad"),
    ("正解: a. 膵臓の萎縮, d. 心電図検査", "ad"),
    ("正解は a: 萎縮すること、d: 心電図です。", "ad"),
    ("答え:\n1. a\n2. d", "ad"),
    ("答え:\n・a\n・d", "ad"),
    ("**解答**\n- **a. 膵臓の萎縮**\n- **d. 心電図検査**", "ad"),
    ("答え1: a\n答え2: d", "ad"),
    ("Answers: A and D", "ad"),
    ("Answer: A & D", "ad"),
    ("The correct answers are (A) and (D).", "ad"),
    ("The answers are A (atrophy) and D (ECG).", "ad"),
    ("Correct answers:\n- A\n- D", "ad"),
    ("Answer: A; D", "ad"),
    ("Answer: A/D", "ad"),
    ("Answer: AD", "ad"),
    ("答案：AD", "ad"),
    ("答案：A和D", "ad"),
    ("答案：A、D。", "ad"),
    ("答案是 A 與 D。", "ad"),
    ("选A和D。", "ad"),
    ("选 A、D", "ad"),
    ("정답: A, D", "ad"),
    ("정답은 A와 D입니다.", "ad"),
    ("정답은 A 와 D 입니다.", "ad"),
    ("a: ○\nb: ×\nc: ×\nd: ○\ne: ×", "ad"),
    ("a.正 b.誤 c.誤 d.正 e.誤", "ad"),
    ("AとDは正しい。BとCとEは誤り。", "ad"),
    ("A, D are correct. B, C, E are incorrect.", "ad"),
    ("a", "a"),
    ("答え：a", "a"),
    ("答え：a, b, d", "abd"),
)
def test_two_letters_are_read_whole(text, letters):
    assert extract_answer(text, TWO) == letters


@cases(
    (r"\boxed{C}", "c"),
    (r"\boxed{(C)}", "c"),
    (r"\boxed{\text{(C)}}", "c"),
    (r"\boxed{\textbf{C}}", "c"),
    (r"\boxed{\mathrm{C}}", "c"),
    (r"\boxed{\text{C. 腹部超音波検査}}", "c"),
    (r"\boxed{\text{腹部超音波検査 (C)}}", "c"),
    (r"\boxed{\mathbf{\text{Answer: C}}}", "c"),
    (r"\boxed{\bf C}", "c"),
    (r"\boxed C", "c"),
    (r"\fbox{C}", "c"),
    (r"\[ \boxed{\text{C}} \]", "c"),
    (r"\(\boxed{C}\)", "c"),
    (r"The final answer is $\boxed{C}$.", "c"),
    (r"$\boxed{A}$ ではなく $\boxed{C}$", "c"),
    ("\\boxed{C}\n\na: 誤り\nb: 誤り\nd: 誤り\ne: 誤り", "c"),
    ("Answer: A\n\nSo \\boxed{C}", "c"),
    ("\\boxed{C}\n\nNote: Answer: A is a trap.", "c"),
    ("<answer>C</answer>", "c"),
    ("<answer>\nC\n</answer>", "c"),
    ("<answer>C. 腹部超音波検査</answer>", "c"),
    ("<answer>The correct answer is C.</answer>", "c"),
    ("<answer>腹部超音波検査（c）</answer>", "c"),
    ("<ANSWER>c</ANSWER>", "c"),
    ("<Final_Answer>(c)</Final_Answer>", "c"),
    ("<final-answer>c</final-answer>", "c"),
    ("<correct_choice>c</correct_choice>", "c"),
    ("<解答>c</解答>", "c"),
    ("a b\n<answer>c</answer>\nd", "c"),
    ("[ANSWER] c [/ANSWER]", "c"),
    ("[[c]]", "c"),
    ("**[c]**", "c"),
    ("《c》", "c"),
    ("『c』", "c"),
    ("⒞", "c"),
    ("🄲", "c"),
    ("c ✅", "c"),
    ("✅ c", "c"),
    ("👉 c", "c"),
)
def test_boxes_tags_and_brackets(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ('{"answer": "c"}', "c"),
    ('{"answer":"C"}', "c"),
    ('{"answer": ["c"]}', "c"),
    ('{"answers": ["c"]}', "c"),
    ('{"Answer": "C. 腹部超音波検査"}', "c"),
    ('{"final_answer": "c"}', "c"),
    ('{"finalAnswer": "c"}', "c"),
    ('{"correct_answer": "c", "incorrect_answers": ["a", "b"]}', "c"),
    ('{"correct_option": "c"}', "c"),
    ('{"selected_option": "c"}', "c"),
    ('{"selected_choice": "c"}', "c"),
    ('{"choice": "(c)"}', "c"),
    ('{"option": "c"}', "c"),
    ('{"prediction": "c"}', "c"),
    ('{"解答": "c", "理由": "a は不適切"}', "c"),
    ('{"回答": "c"}', "c"),
    ('{"正解": "c", "不正解": ["a", "b", "d", "e"]}', "c"),
    ('{"答案": "c"}', "c"),
    ('{"정답": "c"}', "c"),
    ("{'answer': 'c'}", "c"),
    ('{"reasoning": "a と b は誤り。答え: d ではない。", "answer": "c"}', "c"),
    ('{"answer": "c", "explanation": "The answer a is a trap; answer: d"}', "c"),
    ('```json\n{"answer": "c"}\n```', "c"),
    ('{"answer": {"letter": "c", "text": "腹部超音波検査"}}', "c"),
    ('{"options": ["a", "b", "c", "d", "e"], "answer": "c"}', "c"),
    ('{"answer": "c", "options": ["a", "b", "c", "d", "e"]}', "c"),
    ('{"a": false, "b": false, "c": true, "d": false, "e": false}', "c"),
    ('{"a": "×", "b": "×", "c": "○", "d": "×", "e": "×"}', "c"),
    ("answer: c\nconfidence: high", "c"),
    ('{"answer": null}', ""),
    ('{"answer": ""}', ""),
    ('{"answer": "b か c"}', ""),
)
def test_json(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    (r"\boxed{a} と \boxed{d}", "ad"),
    (r"\boxed{a}\boxed{d}", "ad"),
    (r"1つ目は \boxed{A}、2つ目は \boxed{D}", "ad"),
    (r"\boxed{a, d}", "ad"),
    (r"\boxed{\text{A, D}}", "ad"),
    (r"\boxed{\text{A}, \text{D}}", "ad"),
    (r"\boxed{A \text{ and } D}", "ad"),
    (r"\boxed{AD}", "ad"),
    (r"\boxed{a, b}. No, that is wrong. \boxed{a, d}", "ad"),
    ("<answer>a, d</answer>", "ad"),
    ("<answer>a</answer><answer>d</answer>", "ad"),
    ("<answer>\na\nd\n</answer>", "ad"),
    ('{"answer": ["a", "d"]}', "ad"),
    ('{"answers": ["A", "D"]}', "ad"),
    ('{"answer": "a, d"}', "ad"),
    ('{"answer": "a,d"}', "ad"),
    ('{"answer": "ad"}', "ad"),
    ('{"answer": ["a. 膵臓の萎縮", "d. 心電図検査"]}', "ad"),
    ('{"answer": ["a. 萎縮のこと", "d. 心電図のこと"]}', "ad"),
    ('{"answer_1": "a", "answer_2": "d"}', "ad"),
    ('{"answers": [{"label": "a"}, {"label": "d"}]}', "ad"),
    ('["a", "d"]', "ad"),
    ("['a', 'd']", "ad"),
    ("[a, d]", "ad"),
)
def test_two_declared_letters(text, letters):
    assert extract_answer(text, TWO) == letters


@cases(
    ("正解：c\n不正解：a、b、d、e", "c"),
    ("不正解：a、b、d、e\n正解：c", "c"),
    ("不正解: a", ""),
    ("誤答：a", ""),
    ("Incorrect answers: A, B, D, E", ""),
    ("Wrong answer: A", ""),
    ("The correct answer is C. The second-best answer is B.", "c"),
    ("The answer is C. Another possible answer is B.", "c"),
    ("正解は c。次点の答えは b。", "c"),
    ("正解は c。よくある間違った答えは b です。", "c"),
    ("正解は c。誤った解答: b", "c"),
    ("答えは c。他の答え: a は頻度が低い。", "c"),
    ("正解ではないもの：a、b", ""),
    ("The answer is not B.", ""),
    ("B is not the answer.", ""),
    ("答えは b ではない。", ""),
    ("答えは b ではありません。", ""),
    ("答えは b 以外。", ""),
    ("c: 正解 d: 不正解", "c"),
    ("a: 不正解\nb: 不正解\nc: 正解\nd: 不正解\ne: 不正解", "c"),
    ("a 不正解 b 不正解 c 正解 d 不正解 e 不正解", "c"),
    ("答え: ~~b~~ c", "c"),
    ("~~答え: b~~\n答え: c", "c"),
)
def test_a_cue_in_its_own_negation_is_none(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ("答え: d\n訂正: c", "c"),
    ("答え: d\n\n訂正します。正解は c です。", "c"),
    ("答え: d\n\n訂正します：c", "c"),
    ("**答え: d**\n\n（訂正）正しくは c。", "c"),
    ("答えは d です。いや、c です。", "c"),
    ("答えは d です。待って、考え直すと答えは c です。", "c"),
    ("答え：d\n→ 再検討の結果、答え：c", "c"),
    ("答えは d と思うかもしれないが、正解は c です。", "c"),
    ("一見 d のように見えるが、正解は c。", "c"),
    ("答えは d に見えますが、実際には c です。", "c"),
    ("多くの人は d と答えがちだが、正しくは c である。", "c"),
    ("最初は d と考えたが、答えは c。", "c"),
    ("d と間違えやすいが、答えは c です。", "c"),
    ("Answer: D\n\nWait, that's not right. The answer is C.", "c"),
    ("Answer: D. Correction: the answer is C.", "c"),
    ("The answer is D. Actually, it is C.", "c"),
    ("The answer is D... no, actually C.", "c"),
    ("I meant C, not D.", "c"),
    ("It might seem like D, but the answer is C.", "c"),
    ("Many people answer D. The correct answer is C.", "c"),
    ("Initially I thought D, but the answer is C.", "c"),
    ("The answer is not D but C.", "c"),
    ("It is not B; the answer is C.", "c"),
    ("Answer: It's not A, B, D or E. The answer is C", "c"),
    ("\\boxed{D}\n\nCorrection: \\boxed{C}", "c"),
    ("\\boxed{D}\n\n訂正: c", "c"),
    ("答案是D。更正：C", "c"),
    ("정답: D\n정정: C", "c"),
    ("答え: c\n訂正前は d でした。", "c"),
    ("最終回答：d\n\n訂正：正解は c です。", "c"),
    ("\\boxed{D}\n\nCorrection: the answer is C.", "c"),
    ("答え: c\nNote: answer: b would be wrong", "c"),
    ("答え: c\n注: 答え: b とするのは誤り。", "c"),
    ("Answer: B would be the best", "b"),
)
def test_corrections_and_what_others_would_say(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ("b か c", ""),
    ("bかcです。", ""),
    ("答えは b か c のどちらかです。", ""),
    ("答え: b、または c", ""),
    ("答え: bもしくはc", ""),
    ("Answer: B or C", ""),
    ("The answer is either B or C.", ""),
    ("It could be A, B, or C.", ""),
    ("b or c", ""),
    ("答えは b か c だが、強いて言えば c が適切。", "c"),
    ("b か c で迷うが、答えは c。", "c"),
    ("Between B or C, I choose C.", "c"),
    ("B or C? The answer is C.", "c"),
)
def test_an_alternative_left_open_is_no_answer(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    ("答え: a,b のように答えてください。", ""),
    ("回答を指定された形式で示します。", ""),
    ("「答え: a」の形式で回答します。\n\n答え: c", "c"),
    ("回答形式：a, b, c, d, e\n答え: c", "c"),
    ("例：答え: a\n\n答え: c", "c"),
    ("答え: c\n\n（例: 答え: a）", "c"),
    ("Answer format: A, B\nAnswer: C", "c"),
    ("For example, Answer: A.\nAnswer: C", "c"),
    ("選択肢 a〜e から1つ選んでください。\nc", "c"),
    ("a, b, c, d, e の中から1つ選びます。答えは c。", "c"),
    ("Choose one of a, b, c, d, e. Answer: c", "c"),
    ("答えを a から e の記号で答えます。", ""),
    ("Please answer with a, b, c, d or e.", ""),
    ("c\n\n推奨グレード\nA", "c"),
    ("c\n\n推奨度：\nB", "c"),
    ("c\n\nGrade of recommendation\nA", "c"),
    ("c\n\nエビデンスレベル\n\nA", "c"),
    ("答え: c\n推奨グレード: A", "c"),
    ("c\nChild-Pugh分類\nB", "c"),
    ("c\n血液型\nA", "c"),
    ("推奨グレード\nA", ""),
)
def test_the_task_restated_and_a_grade_are_no_answers(text, letters):
    assert extract_answer(text, ONE) == letters


@cases(
    (
        "c\n\na. 膵臓の萎縮\nb. 胆石の移動\nc. 腹部超音波検査\nd. 心電図検査",
        "c",
    ),
    ("c\n\na: 古い所見。\nb: 稀である。\nc: 簡便。\nd: 循環器。\ne: 感染症。", "c"),
    ("c\n\na\n古い。\n\nb\n稀。\n\nc\n簡便。\n\nd\n別。\n\ne\n別。", "c"),
    ("**c**\n\n- a：不適切\n- b：不適切\n- d：不適切\n- e：不適切", "c"),
    ("正解は c です。\na: 誤り。b: 誤り。c: 正解。d: 誤り。e: 誤り。", "c"),
    ("正解は c です。\na: 不正解\nb: 不正解\nc: 正解\nd: 不正解\ne: 不正解", "c"),
    ("正解は a です。\na: 正解\nb: 不正解\nc: 不正解\nd: 不正解\ne: 不正解", "a"),
    ("c: 腹部超音波検査\n\na: 古い\nb: 稀\nd: 別\ne: 別", "c"),
    ("a: 膵臓の萎縮\n\nb: 稀\nc: 別\nd: 別\ne: 別", "a"),
    ("a: 古い\nb: 稀\nc: 簡便\nd: 別\ne: 別", ""),
    ("a: 古い\n\nb: 稀\n\nc: 簡便\n\nd: 別\n\ne: 別", ""),
    ("a: 古い\nb: 稀\nc: 簡便\nd: 別\ne: 別\n\nc", "c"),
    ("a: 古い\nb: 稀\nc: 簡便\nd: 別\ne: 別\n\n以上より c が適切。", "c"),
    ("a: ×、b: ×、c: ○、d: ×、e: ×", "c"),
    ("a × b × c ○ d × e ×", "c"),
    ("a→× b→× c→○ d→× e→×", "c"),
    ("(a) × (b) × (c) ○ (d) × (e) ×", "c"),
    ("a（×）b（×）c（○）d（×）e（×）", "c"),
    ("a…誤 b…誤 c…正 d…誤 e…誤", "c"),
    ("a 誤、b 誤、c 正、d 誤、e 誤", "c"),
    ("a＝誤、b＝誤、c＝正、d＝誤、e＝誤", "c"),
    ("aは誤り、bは誤り、cは正しい、dは誤り、eは誤り。", "c"),
    ("aは不適切であり、bも不適切、cは適切である。dとeは不適切。", "c"),
    ("選択肢aは誤りです。選択肢bは誤りです。選択肢cは正しいです。", "c"),
    ("| 選択肢 | 判定 |\n|---|---|\n| a | × |\n| b | × |\n| c | ○ |\n| d | × |", "c"),
    ("| a | 膵臓の萎縮 | × | 古い |\n| c | 腹部超音波検査 | ○ | 簡便 |", "c"),
    ("a. 膵臓の萎縮 → 不適切\nb. 胆石の移動 → 不適切\nc. 腹部超音波検査 → 適切", "c"),
    ("a. 古い所見なので誤り。\nb. 稀なので誤り。\nc. 簡便であり正しい。", "c"),
    ("### a\n不適切\n### b\n不適切\n### c\n適切\n### d\n不適切\n### e\n不適切", "c"),
    ("a\n×\nb\n×\nc\n○\nd\n×\ne\n×", "c"),
    ("A: Incorrect. Old.\nB: Incorrect. Rare.\nC: Correct. Simple.", "c"),
    ("A) wrong B) wrong C) right D) wrong E) wrong", "c"),
    ("A - False\nB - False\nC - True\nD - False\nE - False", "c"),
    ("Option A is incorrect.\nOption B is incorrect.\nOption C is correct.", "c"),
    ("A is not correct. B is not correct. C is correct.", "c"),
    ("**A.** Old finding – incorrect.\n**C.** Simple – correct.", "c"),
    ("aは正しいかもしれない。", ""),
    ("a: 正しい\nb: 正しい\nc: 正しい\nd: 正しい\ne: 正しい", ""),
    ("❌ a\n❌ b\n✅ c\n❌ d\n❌ e", "c"),
)
def test_a_walk_through_the_choices(text, letters):
    assert extract_answer(text, ONE) == letters


ONE_WRONG = [
    "a: 正しい\nb: 正しい\nc: 誤り\nd: 正しい\ne: 正しい",
    "a: ○\nb: ○\nc: ×\nd: ○\ne: ○",
    "a ○ b ○ c × d ○ e ○",
    "a.正 b.正 c.誤 d.正 e.正",
    "a: ×\nb: ×\nc: ○\nd: ×\ne: ×",
    "a: 適切\nb: 適切\nc: 不適切\nd: 適切\ne: 適切",
    "aは正しい。bは正しい。cは誤り。dは正しい。eは正しい。",
    "A, B, D, E are correct. C is incorrect.",
    "A: True\nB: True\nC: False\nD: True\nE: True",
    '{"a": "正", "b": "正", "c": "誤", "d": "正", "e": "正"}',
    "| a | ○ |\n| b | ○ |\n| c | × |\n| d | ○ |\n| e | ○ |",
    "a\n正しい。\n\nb\n正しい。\n\nc\n誤り。\n\nd\n正しい。\n\ne\n正しい。",
    "誤っているのは c です。",
    "c が誤りである。",
    "c\n\na: 正しい\nb: 正しい\nc: 誤り\nd: 正しい\ne: 正しい",
    "正解は c です。a、b、d、e は正しい記述です。",
    "答え: c。これは誤りである。",
]


@pytest.mark.parametrize("text", ONE_WRONG)
@pytest.mark.parametrize("asked", [WRONG, UNFIT, EXCEPT])
def test_the_one_called_wrong_where_the_wrong_one_is_asked_for(text, asked):
    assert extract_answer(text, asked) == ("c",)


@pytest.mark.parametrize(
    "text",
    [
        "AとBは正しい。CとDは誤りかもしれない。",
        "AとBは正しい。CとDは誤り。",
        "a: 正しい\nb: 正しい",
        "aは正しい。",
        "a: 正しい\nb: 誤り\nc: 誤り\nd: 正しい\ne: 正しい",
    ],
)
def test_no_choice_is_made_where_the_wrong_one_is_asked_for(text):
    assert extract_answer(text, WRONG) is None


@pytest.mark.parametrize(
    "text",
    [
        "答え：\u200dc",
        "c\u200e",
        "答\u00adえ：c",
        "c\ufe0f",
        "c\ufe0f\u20e3",
        "c\U000e0100",
        "答え：\u2060c\u2060",
        "答え：\u2063c",
        "\ufeffc",
        "\u202ac\u202c",
        "\u2066c\u2069",
        "\u061cc",
        "c\u034f",
        "c\u0332",
        "答え：\u180ec",
        "\u3164c\u3164",
        "答え\u0000：c",
        "c\u2028",
        "答え：\u2029c",
        "c\U000e0063",
        "答え：\u001bc",
        "正\u200c解は\u200bc\u200bです",
    ],
)
def test_what_cannot_be_seen_changes_nothing(text):
    assert extract_answer(text, ONE) == ("c",)


@cases(
    ("答え: b\n\nc: 腹部超音波検査", "b"),
    ("b\n\nc: 腹部超音波検査", "b"),
    ("答え: b\n\nc", "b"),
    ("最終回答: b\n\n（参考）答え: c", "b"),
    ("\\boxed{b}\n答え: c", "b"),
    ("答え: c\n最終回答: b", "b"),
    ("<answer>b</answer>\nAnswer: C", "b"),
    ("b\n\n最も考えられるのは c に似た疾患である。", "b"),
    ("Final answer: B\n\nAnswer: C would be a mistake.", "b"),
    ("結論：b", "b"),
    ("答え: c\n\n結論として、b を選ぶ。", "b"),
)
def test_force_decides(text, letters):
    assert extract_answer(text, ONE) == letters


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("さて、答え：**ｃ** です。", "cue", "答え：**ｃ"),
        ("c", "bare", "c"),
        (r"よって \boxed{\text{C}} です", "declared", r"\boxed{\text{C"),
        ('{"answer": "c"}', "json", '"answer": "c"}'),
        ("最終回答は c", "conclusion", "回答は c"),
        ("a: ×\nb: ×\nc: ○\nd: ×\ne: ×", "verdicts", "a: ×\nb: ×\nc: ○\nd: ×\ne: ×"),
        ("<think>a</think>答え：c", "cue", "答え：c"),
    ],
)
def test_a_reading_says_from_where(text, rule, said):
    reading = reading_of(text, ONE)
    start, end = reading.span
    assert reading.rule == rule
    assert text.removeprefix("<think>a</think>")[start:end] == said


def test_the_second_best_says_something_else():
    reading = read_letters("b\n\n答え: c\n答え: c", ONE)
    assert (reading.answer, reading.second) == (("c",), ("b",))
    assert read_letters("答え: c\n\nc", ONE).second is None


@pytest.mark.parametrize(
    ("text", "is_strict"),
    [
        ("答え: c", True),
        ("c", True),
        (r"\boxed{c}", True),
        ("a: ×\nb: ×\nc: ○\nd: ×\ne: ×", True),
        ("a: ×\nb: ×\nc: ○", False),
        ("c: 検査を行うのは", False),
        ("最も考えられるのは c", False),
    ],
)
def test_half_a_reply_makes_no_strict_statement(text, is_strict):
    reading = read_letters(text, ONE)
    assert (reading.answer, reading.is_strict) == (("c",), is_strict)


def test_a_reply_beyond_the_limit_is_not_read():
    assert read_letters("答え: c " * LIMIT, ONE).rule == TOO_LONG
    assert extract_answer("答え: c " * LIMIT, ONE) is None


@cases(
    ("陣痛ではなく、腹部超音波検査を行う。", "c"),
    ("答えは腹部超音波検査です。", "c"),
    ("検査の順序としては心電図よりも c", "c"),
    ("a は誤り。b は誤り。d は誤り。e は誤り。", "c"),
    ("答えは c ではないかと思う", "c"),
    ("膵臓の萎縮か腹部超音波検査か", ""),
    ("わからない。", ""),
)
def test_the_permissive_reader_takes_what_the_strict_one_leaves(text, letters):
    assert extract_answer(text, ONE) is None
    assert read_letters(text, ONE, permissive=True).answer == letters


@pytest.mark.parametrize("text", ["答え: c", "c\n\nb か d", "a: ×、b: ×、c: ○"])
def test_both_readers_agree_where_the_strict_one_is_content(text):
    strict, permissive = (read_letters(text, ONE, permissive=p) for p in (False, True))
    assert strict == permissive


# Whole replies and turns of phrase, each with the letters a careful human reads in it.
REPLIES = Path(__file__).with_name("letters.jsonl").read_text(encoding="utf-8")
ASKED = {
    "one": ONE,
    "two": TWO,
    "three": THREE,
    "wrong": WRONG,
    "two wrong": question("ad", "誤っているのはどれか。2つ選べ。"),
    "english": question(
        "c",
        "Which is the best treatment?",
        [
            "Aspirin",
            "Heparin infusion",
            "Vitamin C",
            "Hepatitis B vaccine",
            "No treatment",
        ],
    ),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_reply_is_read_as_a_careful_human_reads_it(asked):
    of_all = [json.loads(line) for line in REPLIES.splitlines()]
    cases = [case for case in of_all if case["asked"] == asked]
    read = [extract_answer(case["text"], ASKED[asked]) for case in cases]
    wrong = [
        (case["text"], case["letters"], answer)
        for case, answer in zip(cases, read, strict=True)
        if "".join(answer or ()) != case["letters"]
    ]
    assert cases and wrong == []
    assert {case["asked"] for case in of_all} == {*ASKED}


@pytest.mark.parametrize(
    "cue", ["", "答え: ", "答え：", "Answer: ", "ANSWER: ", "正解:"]
)
@pytest.mark.parametrize("letters", ["c", "C", "a, c", "a,c", "b,b", "a,b,c,d,e"])
@pytest.mark.parametrize("around", ["{}", " {}\n"])
def test_what_is_nothing_else_is_read_as_the_whole_reader_reads_it(
    cue, letters, around
):
    text = around.format(cue + letters)
    row = {"problem_id": "998A1", "problem_text": "どれか。", "choices": list("vwxyz")}
    question = Question.from_record(row | {"answer": ["a", "c"]})
    whole = letters_reader._strictly(plain_of(text), question)
    assert read_letters(text, question) == whole


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("答えは b です。いや、d に訂正します。", "d"),
        ("答え: b\n→ 再検討した結果、d に変更します。", "d"),
        ("答えは b と思ったが、d に変更する。", "d"),
        ("答え: d\n\nよく考えると c が正しい。", "c"),
        ("答えは a の頭部CTではなく c です", "c"),
        ("正解は b…ではなく、d です。", "d"),
        ("答え: c\n\n類題：別の症例はどれか。\na: 甲\nb: 乙\n答え: a", "c"),
        ("Answer: D. Wait, it should be C.", "c"),
    ],
)
def test_the_last_word_of_a_correction_counts_and_a_new_question_does_not(text, answer):
    row = {"problem_id": "998A1", "problem_text": "まず行うべき検査はどれか。"}
    row |= {"choices": ["頭部CT", "血液培養", "胸部X線", "心エコー", "尿沈渣"]}
    question = Question.from_record(row | {"answer": ["c"]})
    assert extract_answer(text, question) == (answer,)


# --- choices that are signs -----------------------------------------------------------

SIGNS = Question.from_record(
    {
        "problem_id": "116A33",
        "problem_text": "下線部①〜⑤のうち正しいのはどれか。",
        "choices": ["①", "②", "③", "④", "⑤"],
        "answer": ["b"],
    }
)


@pytest.mark.parametrize(
    "text",
    [
        *("b ②", "答え: b ②", "**b ②**", "b\u3000②", "b. ②", "正解はb（②）です。"),
        *("答え: ②", "正解は②です。", "②", "Answer: ②", "①は誤り。②が正解です。"),
        "下線部①は正しくないので、答え: b",
        "a: ① × b: ② ○ c: ③ × d: ④ × e: ⑤ ×",
        "①：誤り\n②：正しい\n③：誤り\n④：誤り\n⑤：誤り",
    ],
)
def test_a_sign_that_is_a_choice_is_quoted_or_stands_for_its_letter(text):
    reading = read_letters(text, SIGNS)
    assert reading.answer == ("b",)
    start, end = reading.span
    assert 0 <= start < end <= len(text)


def test_a_sign_is_no_letter_where_choices_have_words():
    assert read_letters("答え: ②", ONE).answer is None
