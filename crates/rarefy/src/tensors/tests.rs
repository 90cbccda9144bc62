//! Files against the output of the format's own package, and round trips.

use super::*;

/// Writes a file with tensors of every type, added in an order other than the format's.
fn write(path: &Path, matrix: &[f32]) {
    let mut file = Writer::default();
    file.text("step", &7);
    file.text("arch", &"kl");
    file.vector("z", [1.0f32, 2.0]);
    file.transposed("turned", matrix, 3, 20);
    file.vector("wide", vec![0.5f64; PIECE + 1]);
    file.tensor("a", &[2, 1], [3.0f32, 4.0]);
    file.vector("none", Vec::<u64>::new());
    file.vector("whole", [u64::MAX]);
    file.write(path).unwrap();
}

#[test]
fn written_file_equals_output_of_safetensors_package() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let matrix: Vec<f32> = (0..60).map(|v| v as f32).collect();
    write(&path, &matrix);

    let mut turned = Vec::new();
    for column in 0..20 {
        turned.extend((0..3).map(|row| matrix[row * 20 + column]));
    }
    let tensors = [
        ("z", Dtype::F32, vec![2], f32::to_bytes(&[1.0, 2.0])),
        ("turned", Dtype::F32, vec![20, 3], f32::to_bytes(&turned)),
        (
            "wide",
            Dtype::F64,
            vec![PIECE + 1],
            f64::to_bytes(&vec![0.5; PIECE + 1]),
        ),
        ("a", Dtype::F32, vec![2, 1], f32::to_bytes(&[3.0, 4.0])),
        ("none", Dtype::U64, vec![0], Vec::new()),
        ("whole", Dtype::U64, vec![1], vec![255; 8]),
    ];
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let texts = "{\"arch\":\"kl\",\"step\":\"7\"}".to_owned();
    let metadata = HashMap::from([(TEXTS.to_owned(), texts)]);
    let expected = safetensors::serialize(views, Some(metadata)).unwrap();
    assert!(std::fs::read(&path).unwrap() == expected);
}

#[test]
fn file_round_trips() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    write(&path, &[0.25; 60]);
    let bytes = std::fs::read(&path).unwrap();
    let file = Reader::new(&path, &bytes).unwrap();
    assert_eq!(
        (file.text("step").unwrap(), file.text("arch").unwrap()),
        ("7", "kl")
    );
    assert_eq!(file.vector::<f64>("wide").unwrap(), vec![0.5; PIECE + 1]);
    assert_eq!(file.vector::<u64>("whole").unwrap(), [u64::MAX]);
    assert_eq!(file.view("turned").unwrap().shape(), [20, 3]);
}
