import pytest

from tasks.text.languages import UNKNOWN, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Write a story about an island.", "en"),
        ("hello", "en"),
        ("Explain the café scene in naïve art to a beginner.", "en"),
        ("Write a short story about 长城 and its builders", "en"),
        ("写一篇关于海的文章。", "zh"),
        ("寫一篇關於海的文章。", "zh"),
        ("写一篇关于TED talk的文章", "zh"),
        ("ベランダで野菜を育てる方法", "ja"),
        ("東京大学について書いてください", "ja"),
        ("발코니에서 채소를 기르는 방법", "ko"),
        ("Écris un article sur les jardins partagés.", "fr"),
        ("Schreibe einen Brief an meine Vermieterin.", "de"),
        ("Escribe un artículo sobre los huertos urbanos.", "es"),
        ("Напиши рассказ о почтальоне.", "ru"),
        ("Write a 500-word résumé", "en"),
        ("Write my résumé", "en"),
        ("Plan a trip to São Paulo", "en"),
        ("Write a smörgåsbord guide", "en"),
        ("Écris un résumé de 500 mots", "fr"),
        ("Un texte sur le café", "fr"),
        ("Une lettre à ma mère", "fr"),
        ("Schreib über Käse", "de"),
        ("Ensayo sobre la educación", "es"),
        ("Um texto sobre pão", "pt"),
        ("", UNKNOWN),
        ("123 ... !?", UNKNOWN),
    ],
)
def test_a_language_is_told_by_its_script_and_its_words(text: str, language: str) -> None:
    assert language_of(text) == language
