//! The files that a page saves: CSV and PNG.

use crate::fold::write_records;
use crate::{TestBridge, assert_no_errors, serve};
use curlew_integration::browser::{Browser, Screen};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// 2026-01-31T08:00:00Z
const START: u64 = 1_769_846_400_000;

/// Produces a reading of two machines every second for five minutes, and returns them: `(key, time, temperature)`.
fn produce(served: &TestBridge) -> Vec<(String, u64, f64)> {
    let readings: Vec<(String, u64, f64)> = (0..600)
        .map(|n| (["boiler", "fan, \"2\""][n % 2].to_owned(), n as u64))
        .map(|(key, n)| (key, START + n / 2 * 1000, (n * 37 % 100) as f64 / 4.0))
        .collect();
    let record = |(key, time, temperature): &(String, u64, f64)| json!({"key": key, "timestamp": time, "value": {"temperature": temperature}});
    write_records(&served.bridge, "plant", readings.iter().map(record).collect());
    readings
}

fn fixed_range() -> String {
    format!("?topic=plant&from={START}&to={}", START + 300_000)
}

#[test]
fn the_csv_file_has_the_points_of_the_charts() {
    let (served, browser) = (serve(&[]), Browser::start());
    let readings = produce(&served);
    let page = browser.open(&served.url(&fixed_range()), Screen::Light);
    page.wait_until("document.querySelector('a[download$=\".csv\"]')?.hidden === false");
    let file = page.eval(
        "(async () => { const link = document.querySelector('a[download$=\".csv\"]'); \
         return { name: link.download, text: await fetch(link.href).then((response) => response.text()) }; })()",
    );
    assert_eq!(file["name"], json!("plant_2026-01-31T080000.csv"));
    let mut rows = file["text"].as_str().expect("a text").lines();
    assert_eq!(rows.next(), Some("time,time_ms,field,by,min,max,last,count"));
    // Each step of one second has one reading of each machine.
    let rows: BTreeMap<(String, u64), (f64, u64)> = rows
        .map(|row| {
            let (head, numbers) = row.split_once(",value.temperature,").expect("a field");
            let time = head.split(',').nth(1).and_then(|ms| ms.parse().ok()).expect("a time");
            let (name, numbers) = match numbers.strip_prefix("boiler,") {
                Some(numbers) => ("boiler", numbers),
                None => ("fan, \"2\"", numbers.strip_prefix("\"fan, \"\"2\"\"\",").expect("the fan")),
            };
            let numbers: Vec<f64> = numbers.split(',').map(|number| number.parse().expect("a number")).collect();
            assert!(numbers[0] == numbers[1] && numbers[1] == numbers[2], "{row}");
            ((name.to_owned(), time), (numbers[2], numbers[3] as u64))
        })
        .collect();
    let expected = readings.into_iter().map(|(key, time, temperature)| ((key, time), (temperature, 1))).collect();
    assert_eq!(rows, expected);
    assert_no_errors(&page);
}

#[test]
fn a_chart_is_saved_as_a_picture() {
    let (served, browser) = (serve(&[]), Browser::start());
    produce(&served);
    let page = browser.open(&served.url(&fixed_range()), Screen::Light);
    page.wait_until("document.querySelectorAll('.legend tbody tr').length === 2");
    let picture = page.eval(
        r#"(async () => {
            const texts = [];
            const { fillText } = CanvasRenderingContext2D.prototype;
            CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) { texts.push(text); fillText.call(this, text, ...rest); };
            const { toBlob } = HTMLCanvasElement.prototype;
            const blob = new Promise((done) => {
                HTMLCanvasElement.prototype.toBlob = function (callback, type) {
                    toBlob.call(this, (saved) => { done(saved); callback(saved); }, type);
                };
            });
            const name = new Promise((done) => (HTMLAnchorElement.prototype.click = function () { done(this.download); }));
            texts.length = 0;
            [...document.querySelectorAll("button")].find((button) => button.innerText === "PNG").click();
            const image = await createImageBitmap(await blob);
            const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
            canvas.drawImage(image, 0, 0);
            const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
            return { name: await name, width: image.width, colours: new Set(pixels).size, corner: pixels[0] >>> 0, texts };
        })()"#,
    );
    assert_eq!(picture["name"], json!("plant_temperature_2026-01-31T080000.png"));
    assert_eq!(picture["width"], json!(2400));
    assert_eq!(picture["corner"], json!(0xffff_ffff_u32), "the background is that of the page");
    assert!(picture["colours"].as_u64() > Some(10), "the picture is empty");
    let texts: Vec<&str> = picture["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    for text in ["plant · temperature", "boiler", "fan, \"2\""] {
        assert!(texts.contains(&text), "{text} is not in {texts:?}");
    }
    assert!(texts.iter().any(|text| text.contains("08:00:00") && text.contains("08:05:00")), "{texts:?}");
    assert_no_errors(&page);
}
