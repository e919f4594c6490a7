-- What schema 2 has beside the rows of schema 1.

INSERT INTO pauses (id, ends_at, body) VALUES
    ('8ef6508a-c208-8de2-8f1b-cd9ecae6dcbe', 1735690100123456, '{"account":"anthropic:me","until":{"at":"2025-01-01T00:08:20.123456Z"},"since":"2025-01-01T00:00:01.123456Z","reason":{"class":"rate_limited","retry":"free"},"run":"run_01j0000001e008000000000001"}');
